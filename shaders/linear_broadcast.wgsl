// `direct` of linear.wgsl for software adapters with subgroups: 16×8 results a thread, straight from storage.
//
// All lanes need the same numbers of x. Mesa's software adapter would fetch each of them once for every lane, by a loop
// over lanes. So each lane loads other rows, and they are handed round. It has a file of its own, because a module with
// subgroup operations is valid only on devices that have them. WGSL asks for `enable subgroups;` before them, which naga
// 30 does not know: so browsers never get this file.

@compute @workgroup_size(LANES)
fn broadcast(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = params.base + workgroup.x + workgroup.y * grid.x;
    let columns = 8u * LANES;
    let tiles_across = (params.columns + columns - 1u) / columns;
    let row = tile / tiles_across * 16u;
    let column = tile % tiles_across * columns + lane * 8u;
    if row >= params.rows {
        return;
    }
    // The rows of this lane: two of 16, or four.
    let start0 = row_start(row + lane);
    let start1 = row_start(row + lane + LANES);
    let start2 = row_start(row + lane + 2u * LANES);
    let start3 = row_start(row + lane + 3u * LANES);
    var sums0: Pair;
    var sums1: Pair;
    var sums2: Pair;
    var sums3: Pair;
    for (var k = 0u; k < params.k; k += 4u) {
        let weights = weight_blocks(column, k);
        let a = x_numbers(start0, k);
        let b = x_numbers(start1, k);
        sums0 = add_products(sums0, weights, of_lower_lanes(a));
        if LANES == 8u {
            sums1 = add_products(sums1, weights, of_upper_lanes(a));
            sums2 = add_products(sums2, weights, of_lower_lanes(b));
            sums3 = add_products(sums3, weights, of_upper_lanes(b));
        } else {
            sums1 = add_products(sums1, weights, of_lower_lanes(b));
            sums2 = add_products(sums2, weights, of_lower_lanes(x_numbers(start2, k)));
            sums3 = add_products(sums3, weights, of_lower_lanes(x_numbers(start3, k)));
        }
    }
    store_pair(row, column, sums0);
    store_pair(row + 4u, column, sums1);
    store_pair(row + 8u, column, sums2);
    store_pair(row + 12u, column, sums3);
}
