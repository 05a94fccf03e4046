// What the lanes of a subgroup hand to each other.

override LANES: u32 = 8u;   // of a subgroup, which is the workgroup: 4 or 8

/// A vec4 of each of the lanes 0 to 3.
fn of_lower_lanes(numbers: vec4f) -> mat4x4f {
    return mat4x4f(
        subgroupBroadcast(numbers, 0u), subgroupBroadcast(numbers, 1u),
        subgroupBroadcast(numbers, 2u), subgroupBroadcast(numbers, 3u),
    );
}

/// The same of the lanes 4 to 7.
fn of_upper_lanes(numbers: vec4f) -> mat4x4f {
    return mat4x4f(
        subgroupBroadcast(numbers, 4u), subgroupBroadcast(numbers, 5u),
        subgroupBroadcast(numbers, 6u), subgroupBroadcast(numbers, 7u),
    );
}
