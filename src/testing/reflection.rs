//! What a shader declares, by naga's reflection, against what Rust says of it.

use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};

use crate::graph::{Access, Caps, Dispatch, Graph, Op, Shader};

/// Fails, with the reason, where a dispatch of `op` does not bind what its shader's entry point declares: as many
/// storage bindings, numbered from 1, each `read` where the op reads and `read_write` where it writes or updates.
pub fn check_passes(graph: &Graph, op: &dyn Op, caps: &Caps) -> Result<(), String> {
    let passes = op.passes();
    for dispatch in op.record(graph, caps).map_err(|error| error.to_string())? {
        let what = format!("{} ({})", dispatch.shader.name, dispatch.entry);
        let Some(pass) = passes.get(dispatch.pass) else {
            return Err(format!("{what} binds pass {} of {}", dispatch.pass, passes.len()));
        };
        let bound: Vec<(u32, bool)> = (1..).zip(pass.binds().iter().map(|bind| bind.access != Access::Read)).collect();
        let declared = storage_bindings(&dispatch)?;
        if bound != declared {
            let words = |all: &[(u32, bool)]| {
                let all =
                    all.iter().map(|(at, writes)| format!("{at}: {}", if *writes { "read_write" } else { "read" }));
                all.collect::<Vec<_>>().join(", ")
            };
            return Err(format!("{what} declares {}; the op binds {}", words(&declared), words(&bound)));
        }
    }
    Ok(())
}

/// Number of each storage binding that a dispatch's entry point uses, in order, and whether it may write.
fn storage_bindings(dispatch: &Dispatch) -> Result<Vec<(u32, bool)>, String> {
    let Dispatch { shader, entry, .. } = dispatch;
    let module = parse(shader);
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let info = validator.validate(&module).map_err(|error| format!("{}.wgsl: {error:?}", shader.name))?;
    let index = module.entry_points.iter().position(|point| point.name == *entry);
    let index = index.ok_or_else(|| format!("{}.wgsl has no entry point {entry}", shader.name))?;
    let mut bindings = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        if let (AddressSpace::Storage { access }, Some(at)) = (variable.space, &variable.binding)
            && !info.get_entry_point(index)[handle].is_empty()
        {
            bindings.push((at.binding, access.contains(StorageAccess::STORE)));
        }
    }
    bindings.sort_unstable();
    Ok(bindings)
}

/// Asserts that `fields` (name, Rust type) are the members of the shader's `Params`, in order. [`crate::params!`] gives
/// its fields as `Params::FIELDS`.
pub fn params_match(shader: &Shader, fields: &[(&str, &str)]) {
    let module = parse(shader);
    let params = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Params")).unwrap().1;
    let TypeInner::Struct { members, .. } = &params.inner else { panic!("Params is no struct") };
    let found: Vec<_> = members
        .iter()
        .map(|m| {
            let kind = match module.types[m.ty].inner {
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Uint, .. }) => "u32",
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Sint, .. }) => "i32",
                TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Float, .. }) => "f32",
                _ => "not a scalar",
            };
            (m.name.clone().unwrap(), kind)
        })
        .collect();
    let expected: Vec<_> = fields.iter().map(|&(n, k)| (n.to_owned(), k)).collect();
    assert_eq!(found, expected, "{}.wgsl and its Params differ", shader.name);
}

fn parse(shader: &Shader) -> naga::Module {
    naga::front::wgsl::parse_str(shader.source)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(shader.source, shader.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference::HostValues;
    use crate::graph::{Pass, ValueId};

    static SHADER: Shader = Shader::new(
        "halve",
        "struct Params { count: u32 }
         @group(0) @binding(0) var<uniform> params: Params;
         @group(0) @binding(1) var<storage, read> x: array<f32>;
         @group(0) @binding(2) var<storage, read_write> out: array<f32>;
         @compute @workgroup_size(1)
         fn main() { if params.count > 0u { out[0] = 0.5 * x[0]; } }",
    );

    /// An op of the shader above with the given passes.
    #[derive(Debug)]
    struct Halve(Vec<Pass>);

    impl Op for Halve {
        fn name(&self) -> &'static str {
            SHADER.name
        }

        fn passes(&self) -> Vec<Pass> {
            self.0.clone()
        }

        fn record(&self, _graph: &Graph, _caps: &Caps) -> crate::Result<Vec<Dispatch>> {
            Ok(vec![Dispatch::new(&SHADER, vec![0; 16], [1, 1, 1])])
        }

        fn reference(&self, _graph: &Graph, _host: &mut HostValues) {}
    }

    fn check(pass: Pass) -> Result<(), String> {
        check_passes(&Graph::new(), &Halve(vec![pass]), &Caps::minimum())
    }

    #[test]
    fn a_pass_must_bind_what_its_shader_declares() {
        let [x, out] = [ValueId(0), ValueId(1)];
        check(Pass::new().read(x).write(out)).unwrap();
        check(Pass::new().read(None).update(out)).unwrap();
        let declares = "halve (main) declares 1: read, 2: read_write; the op binds ";
        for (pass, binds) in [
            (Pass::new().read(x).read(out), "1: read, 2: read"),
            (Pass::new().update(x).write(out), "1: read_write, 2: read_write"),
            (Pass::new().read(x), "1: read"),
            (Pass::new().read(x).write(out).read(x), "1: read, 2: read_write, 3: read"),
        ] {
            assert_eq!(check(pass).unwrap_err(), format!("{declares}{binds}"));
        }
        let none = check_passes(&Graph::new(), &Halve(Vec::new()), &Caps::minimum());
        assert_eq!(none.unwrap_err(), "halve (main) binds pass 0 of 0");
    }

    #[test]
    #[should_panic(expected = "the op binds 1: read, 2: read")]
    fn a_case_finds_it() {
        let mut case = crate::testing::Case::new();
        let x = case.input("x", &[1]);
        let out = case.graph.transient("out", &[1]);
        case.graph.push(Halve(vec![Pass::new().read(x).read(out)]));
        case.agrees(1e-6);
    }
}
