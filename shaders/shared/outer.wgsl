// What tiled products are made of.

/// Adds the products of four numbers with four: column i of a block has those of `rows[i]`.
fn outer(sums: mat4x4f, rows: vec4f, columns: vec4f) -> mat4x4f {
    return mat4x4f(
        fma(vec4f(rows.x), columns, sums[0]), fma(vec4f(rows.y), columns, sums[1]),
        fma(vec4f(rows.z), columns, sums[2]), fma(vec4f(rows.w), columns, sums[3]),
    );
}
