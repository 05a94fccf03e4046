// `direct` of attention.wgsl for software adapters with subgroups. The lanes of a workgroup have queries of one head, so
// they need the same keys and values: each loads other ones, and they are handed round (see linear_broadcast.wgsl).

/// Four columns of 16 rows, of which every lane has loaded two or four.
fn handed_round(which: u32, begin: u32, width: u32, key: u32, d: u32, lane: u32) -> Four {
    let last = params.keys - 1u;
    let a = numbers(which, begin + min(key + lane, last) * width, d);
    let b = numbers(which, begin + min(key + lane + LANES, last) * width, d);
    if LANES == 8u {
        return Four(of_lower_lanes(a), of_upper_lanes(a), of_lower_lanes(b), of_upper_lanes(b));
    }
    let c = numbers(which, begin + min(key + lane + 8u, last) * width, d);
    let e = numbers(which, begin + min(key + lane + 12u, last) * width, d);
    return Four(of_lower_lanes(a), of_lower_lanes(b), of_lower_lanes(c), of_lower_lanes(e));
}

fn k_blocks(tile: Place, key: u32, d: u32, lane: u32) -> Four {
    return handed_round(K, tile.k, params.k_width, key, d, lane);
}

fn v_blocks(tile: Place, key: u32, d: u32, lane: u32) -> Four {
    return handed_round(V, tile.v, params.v_width, key, d, lane);
}

@compute @workgroup_size(LANES)
fn broadcast(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // A workgroup's tile has 16 queries for each lane. Lanes past the last query take part with it, and store nothing.
    var tile = place(params.base + workgroup.x + workgroup.y * grid.x, 16u * LANES);
    if tile.sample >= params.samples {
        return;
    }
    tile.query += 16u * lane;
    attend(tile, lane);
}
