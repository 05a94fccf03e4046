// Triangles that turn, and a quad with the picture in front of them.

struct Scene {
    seconds: f32,
    shown: f32,   // 1 where there is a picture
}

@group(0) @binding(0) var<uniform> scene: Scene;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var smooth_sampler: sampler;

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) colour: vec3f,
    @location(1) uv: vec2f,
    @location(2) textured: f32,
}

const TRIANGLES = 24u;

@vertex
fn corner(@builtin(vertex_index) vertex: u32) -> Corner {
    let index = vertex / 3u;
    if index < TRIANGLES {
        let angle = scene.seconds * (0.3 + 0.05 * f32(index)) + f32(index);
        let turn = angle + f32(vertex % 3u) * 2.0944;
        let centre = 0.8 * vec2f(cos(f32(index) * 2.4 + 0.2 * scene.seconds), sin(f32(index) * 1.7));
        let colour = 0.5 + 0.5 * cos(vec3f(0.0, 2.1, 4.2) + f32(index));
        return Corner(vec4f(centre + 0.25 * vec2f(cos(turn), sin(turn)), 0.0, 1.0), colour, vec2f(), 0.0);
    }
    // The quad's two triangles: corners 0 1 2 and 2 1 3.
    let at = array(0u, 1u, 2u, 2u, 1u, 3u)[vertex - 3u * TRIANGLES];
    let uv = vec2f(f32(at % 2u), f32(at / 2u));
    return Corner(vec4f((uv - 0.5) * vec2f(1.0, -1.0), 0.0, 1.0), vec3f(0.2), uv, scene.shown);
}

@fragment
fn fill(corner: Corner) -> @location(0) vec4f {
    let texel = textureSample(picture, smooth_sampler, corner.uv).rgb;
    return vec4f(mix(corner.colour, texel, corner.textured), 1.0);
}
