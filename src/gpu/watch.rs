//! A watch on the indices of kernels, for tests: each dynamic index is compared with the length of what it indexes, and
//! the line of the last one beyond it is reported in a buffer. Kernels that run without checks are held to it, and so
//! are those of other crates.
//!
//! The comparison is put into the module that naga has parsed. A thread that has found something writes it down where
//! its entry point returns: not earlier, so that the kernel stays the one that is tested.

use std::sync::Mutex;

use naga::{
    AddressSpace, ArraySize, BinaryOperator, Block, Expression, Function, GlobalVariable, Handle, Literal, Module,
    ResourceBinding, ScalarKind, Span, Statement, StorageAccess, Type, TypeInner,
};

use super::Gpu;
use crate::graph::Shader;
use crate::shared::lock;
use crate::{Error, Result};

/// Where the kernels of a device report.
#[derive(Debug)]
pub(super) struct Watch {
    buffer: wgpu::Buffer,
    /// Kernels report a line, and their place here.
    names: Mutex<Vec<&'static str>>,
}

impl Watch {
    /// Behind all that kernels bind.
    pub(super) const BINDING: u32 = 31;

    pub(super) fn new(device: &wgpu::Device) -> Self {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("watch"),
            size: 16,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { buffer, names: Mutex::default() }
    }

    pub(super) fn entry(&self) -> wgpu::BindGroupEntry<'_> {
        wgpu::BindGroupEntry { binding: Self::BINDING, resource: self.buffer.as_entire_binding() }
    }
}

impl Gpu {
    /// Where an index was beyond what it indexes since this was last asked, if one was: "halve.wgsl, line 9". An error
    /// where nothing is watched.
    pub(crate) async fn index_beyond(&self) -> Result<Option<String>> {
        let watch = self.pipelines().watch.as_ref().ok_or_else(|| Error::Gpu("nothing is watched".into()))?;
        let buffer = self.own(watch.buffer.clone());
        let bytes = self.read(&buffer, 4).await?;
        let report = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if report == 0 {
            return Ok(None);
        }
        self.write(&buffer, 0, &[0; 4])?;
        let (name, line) = ((report >> LINE_BITS) as usize, report & ((1 << LINE_BITS) - 1));
        let name = lock(&watch.names).get(name).copied().unwrap_or_default();
        Ok(Some(format!("{name}.wgsl, line {line}")))
    }
}

/// Of a report, the low ones.
const LINE_BITS: u32 = 16;

impl Watch {
    /// The module of a shader, watched. What naga does not parse is left to wgpu, which says why.
    pub(super) fn parse(&self, device: &wgpu::Device, shader: &Shader) -> wgpu::ShaderModule {
        let number = {
            let mut names = lock(&self.names);
            names.push(shader.name);
            names.len() as u32 - 1
        };
        let source = match watched(shader.source, number << LINE_BITS) {
            Some(module) => wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module)),
            None => wgpu::ShaderSource::Wgsl(shader.source.into()),
        };
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(shader.name), source })
    }
}

/// Its reports are lines, to which `place` is added.
fn watched(source: &str, place: u32) -> Option<Module> {
    let mut module = naga::front::wgsl::parse_str(source).ok()?;
    let capabilities = naga::valid::Capabilities::all();
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities).validate(&module).ok()?;
    let scalar = TypeInner::Scalar(naga::Scalar::U32);
    let number = module.types.insert(Type { name: None, inner: scalar }, Span::UNDEFINED);
    let mut variable = |name: &str, space, binding| {
        let memory_decorations = naga::MemoryDecorations::empty();
        let variable =
            GlobalVariable { name: Some(name.into()), space, binding, ty: number, init: None, memory_decorations };
        module.global_variables.append(variable, Span::UNDEFINED)
    };
    let found = variable("watch_found", AddressSpace::Private, None);
    let access = StorageAccess::LOAD | StorageAccess::STORE;
    let binding = Some(ResourceBinding { group: 0, binding: Watch::BINDING });
    let report = variable("watch_report", AddressSpace::Storage { access }, binding);
    let types = module.types.clone();
    for (handle, function) in module.functions.iter_mut() {
        let mut watcher = Watcher { source, place, types: &types, info: &info[handle], found, report, function };
        watcher.watch(false);
    }
    for (index, point) in module.entry_points.iter_mut().enumerate() {
        let info = info.get_entry_point(index);
        Watcher { source, place, types: &types, info, found, report, function: &mut point.function }.watch(true);
    }
    Some(module)
}

/// Of one function.
struct Watcher<'a> {
    source: &'a str,
    place: u32,
    types: &'a naga::UniqueArena<Type>,
    info: &'a naga::valid::FunctionInfo,
    found: Handle<GlobalVariable>,
    report: Handle<GlobalVariable>,
    function: &'a mut Function,
}

impl Watcher<'_> {
    /// Compares every index; where it is an entry point, writes down what was found before it returns.
    fn watch(&mut self, reports: bool) {
        let body = std::mem::take(&mut self.function.body);
        let mut body = self.block(body, reports);
        if reports {
            body.extend_block(self.reporting());
        }
        self.function.body = body;
    }

    fn block(&mut self, block: Block, reports: bool) -> Block {
        let mut watched = Block::new();
        for (statement, span) in block.span_into_iter() {
            let statement = match statement {
                Statement::Emit(range) => {
                    watched.push(Statement::Emit(range.clone()), span);
                    range.for_each(|expression| watched.extend_block(self.comparison(expression)));
                    continue;
                }
                Statement::Return { .. } if reports => {
                    watched.extend_block(self.reporting());
                    statement
                }
                Statement::Block(block) => Statement::Block(self.block(block, reports)),
                Statement::If { condition, accept, reject } => {
                    let [accept, reject] = [accept, reject].map(|block| self.block(block, reports));
                    Statement::If { condition, accept, reject }
                }
                Statement::Switch { selector, mut cases } => {
                    for case in &mut cases {
                        case.body = self.block(std::mem::take(&mut case.body), reports);
                    }
                    Statement::Switch { selector, cases }
                }
                Statement::Loop { body, continuing, break_if } => {
                    let [body, continuing] = [body, continuing].map(|block| self.block(block, reports));
                    Statement::Loop { body, continuing, break_if }
                }
                other => other,
            };
            watched.push(statement, span);
        }
        watched
    }

    /// Notes the line of an expression that indexes, if it indexes beyond the end.
    fn comparison(&mut self, expression: Handle<Expression>) -> Block {
        let Expression::Access { base, index } = self.function.expressions[expression] else { return Block::new() };
        let of = |ty: Handle<Type>| &self.types[ty].inner;
        let indexed = match self.info[base].ty.inner_with(self.types) {
            TypeInner::Pointer { base, .. } => of(*base).clone(),
            other => other.clone(),
        };
        let number = |n: u32| Expression::Literal(Literal::U32(n));
        let length = match indexed {
            TypeInner::Array { size: ArraySize::Constant(size), .. } => number(size.get()),
            TypeInner::Array { size: ArraySize::Pending(size), .. } => Expression::Override(size),
            TypeInner::Array { size: ArraySize::Dynamic, .. } => Expression::ArrayLength(base),
            TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => number(size as u32),
            TypeInner::Matrix { columns, .. } => number(columns as u32),
            _ => return Block::new(),
        };
        let signed = self.info[index].ty.inner_with(self.types).scalar_kind() == Some(ScalarKind::Sint);
        let line = self.function.expressions.get_span(expression).location(self.source).line_number;
        let line = self.push(number(self.place + line));
        let found = self.push(Expression::GlobalVariable(self.found));
        // What is computed, and has to be emitted, lies behind what is not.
        let computed = matches!(length, Expression::ArrayLength(_));
        let before = (!computed).then(|| self.push(length.clone()));
        let start = self.function.expressions.len();
        let length = before.unwrap_or_else(|| self.push(length));
        let index = match signed {
            true => self.push(Expression::As { expr: index, kind: ScalarKind::Uint, convert: None }),
            false => index,
        };
        let beyond = self.push(Expression::Binary { op: BinaryOperator::GreaterEqual, left: index, right: length });
        let known = self.push(Expression::Load { pointer: found });
        let value = self.push(Expression::Select { condition: beyond, accept: line, reject: known });
        self.emitted(start, [Statement::Store { pointer: found, value }])
    }

    /// Writes down what was found, if anything was.
    fn reporting(&mut self) -> Block {
        let report = self.push(Expression::GlobalVariable(self.report));
        let found = self.push(Expression::GlobalVariable(self.found));
        let nothing = self.push(Expression::Literal(Literal::U32(0)));
        let start = self.function.expressions.len();
        let value = self.push(Expression::Load { pointer: found });
        let condition = self.push(Expression::Binary { op: BinaryOperator::NotEqual, left: value, right: nothing });
        let mut accept = Block::new();
        accept.push(Statement::Store { pointer: report, value }, Span::UNDEFINED);
        self.emitted(start, [Statement::If { condition, accept, reject: Block::new() }])
    }

    fn push(&mut self, expression: Expression) -> Handle<Expression> {
        self.function.expressions.append(expression, Span::UNDEFINED)
    }

    /// The expressions from `start` on, then statements that use them.
    fn emitted<const N: usize>(&self, start: usize, statements: [Statement; N]) -> Block {
        let emit = Statement::Emit(self.function.expressions.range_from(start));
        let mut block = Block::new();
        for statement in [emit].into_iter().chain(statements) {
            block.push(statement, Span::UNDEFINED);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::graph::reference::HostValues;
    use crate::graph::{Caps, Dispatch, Graph, Op, Pass, ValueId};
    use crate::testing::{Case, gpu};

    /// Line 4 is beyond `x` for `at` of 4, line 5 beyond `small`, line 7 beyond a vector.
    const SOURCE: &str = "struct Params { at: u32, small: u32, part: i32 }
         @group(0) @binding(0) var<uniform> params: Params;
         @group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
         fn first() -> vec4f { return x[params.at]; }
         fn second() -> f32 { return small[params.small]; }
         override SIZE: u32 = 8u; var<workgroup> small: array<f32, SIZE>;
         @compute @workgroup_size(1) fn main() { var v = first(); v[params.part] = 1.0;
             small[0] = v.x; if v.y > 1e30 { return; } x[0] = v + second(); }";
    static SHADER: Shader = Shader::new("beyond", SOURCE);

    #[derive(Debug)]
    struct Reads(ValueId, [u32; 3]);

    impl Op for Reads {
        fn name(&self) -> &'static str {
            SHADER.name
        }

        fn passes(&self) -> Vec<Pass> {
            vec![Pass::new().update(self.0)]
        }

        fn record(&self, _: &Graph, _: &Caps) -> Result<Vec<Dispatch>> {
            let params = self.1.into_iter().chain([0]).flat_map(u32::to_le_bytes).collect();
            Ok(vec![Dispatch::new(&SHADER, params, [1, 1, 1])])
        }

        fn reference(&self, _: &Graph, _: &mut HostValues) {}
    }

    fn found(params: [u32; 3]) -> Option<String> {
        let mut case = Case::new();
        let x = case.input("x", &[16]);
        case.graph.push(Reads(x, params));
        let watched = gpu().with_caps(gpu().caps().clone()).watched();
        case.run(&watched);
        let found = block_on(watched.index_beyond()).unwrap();
        assert_eq!(block_on(watched.index_beyond()).unwrap(), None, "each is reported once");
        found
    }

    #[test]
    fn an_index_beyond_the_end_is_found() {
        let line = |line: u32| Some(format!("beyond.wgsl, line {line}"));
        assert_eq!(found([3, 7, 3]), None);
        assert_eq!(found([4, 7, 3]), line(4));
        assert_eq!(found([3, 8, 3]), line(5));
        assert_eq!(found([3, 7, 4]), line(7));
        assert_eq!(found([3, 7, u32::MAX]), line(7));
        assert_eq!(block_on(gpu().index_beyond()).unwrap_err().to_string(), "GPU: nothing is watched");
    }

    #[test]
    fn every_kernel_can_be_watched() {
        for shader in crate::kernels::SHADERS {
            let module = watched(shader.source, 0).unwrap();
            let capabilities = naga::valid::Capabilities::all();
            let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
            validator.validate(&module).unwrap_or_else(|error| panic!("{}: {error:?}", shader.name));
        }
    }
}
