// A rectangle of images, or every n-th pixel of one, each way.

struct Params {
    count: u32,         // elements of out
    height: u32,        // of x
    width: u32,
    top: u32,           // of the rectangle
    left: u32,
    step: u32,          // from one pixel that is taken to the next
    out_height: u32,
    out_width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [B, C, height, width]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;   // [B, C, out_height, out_width]

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (workgroup.x + workgroup.y * grid.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    let column = params.left + i % params.out_width * params.step;
    let row = params.top + i / params.out_width % params.out_height * params.step;
    let plane = i / params.out_width / params.out_height;
    out[i] = x[(plane * params.height + row) * params.width + column];
}
