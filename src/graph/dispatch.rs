//! One run of one kernel, as data.

use super::Shader;

/// One run of one kernel. `Dispatch::new(&SHADER, params.bytes(), caps.grid(n))` is the common case; the methods
/// change the rest.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The WGSL file.
    pub shader: &'static Shader,
    /// Its entry point: "main", unless said otherwise.
    pub entry: &'static str,
    /// Values of its `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// The bytes of its uniform `Params`, which is binding 0.
    pub params: Vec<u8>,
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
    /// Which of the op's passes it binds: the first, unless said otherwise.
    pub pass: usize,
    /// Which part it binds of a packed weight that was split by rows (see
    /// [`Caps::split_rows`](super::Caps::split_rows)).
    pub part: usize,
    /// Whether any of its workgroups may run without the others: see [`Dispatch::divisible`].
    pub divisible: bool,
    /// Bytes of the workspace that it binds: see [`Dispatch::workspace`].
    pub workspace: u64,
    /// Whether it has no share in the op's products: see [`Dispatch::light`].
    pub light: bool,
}

impl Dispatch {
    /// Runs `main` of `shader` on the op's first pass.
    pub fn new(shader: &'static Shader, params: Vec<u8>, workgroups: [u32; 3]) -> Self {
        Self {
            shader,
            entry: "main",
            constants: Vec::new(),
            params,
            workgroups,
            pass: 0,
            part: 0,
            divisible: false,
            workspace: 0,
            light: false,
        }
    }

    /// The entry point.
    pub fn entry(self, entry: &'static str) -> Self {
        Self { entry, ..self }
    }

    /// The value of one more `override` constant: a number, or a flag.
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// The values of more `override` constants.
    pub fn constants<V: Into<f64>>(self, constants: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        constants.into_iter().fold(self, |dispatch, (name, value)| dispatch.constant(name, value))
    }

    /// Which of the op's passes it binds.
    pub fn pass(self, pass: usize) -> Self {
        Self { pass, ..self }
    }

    /// Which part of a split weight it binds.
    pub fn part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// Lets a device run its workgroups in portions, one after the other, where all at once would take too long. They
    /// are numbered over x, then y. `Params` begins with `base: u32`, which the device sets to the number of a
    /// portion's first workgroup: the kernel adds it to `workgroup.x + workgroup.y * num_workgroups.x`. No workgroup
    /// may need what another of the same dispatch writes; WebGPU lets none wait for another anyway.
    pub fn divisible(self) -> Self {
        Self { divisible: true, ..self }
    }
    /// How many bytes of workspace its pass needs, where it binds one
    /// ([`Target::Workspace`](super::Target::Workspace)).
    pub fn workspace(self, workspace: u64) -> Self {
        Self { workspace, ..self }
    }

    /// It only combines what the op's other dispatches have computed: a device that estimates what a dispatch costs
    /// counts the op's FLOPs for the others.
    pub fn light(self) -> Self {
        Self { light: true, ..self }
    }
}
