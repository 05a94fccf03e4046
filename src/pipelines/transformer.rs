//! The transformer of either pipeline, and what its checkpoint brings for routing.

use std::sync::Arc;

use super::folder::{LoadOptions, ModelFolder};
use crate::Result;
use crate::compress::{DiffcrConfig, Routers};
use crate::config::Fields;
use crate::models::{Loader, Scope};

/// A transformer, and its routers.
#[derive(Debug)]
pub struct Transformer<M> {
    /// The model, which knows nothing of routers.
    pub model: M,
    /// The routers, or what the checkpoint lacks of them.
    pub routers: Result<Arc<Routers>, String>,
}

/// How a model class is read and loaded.
pub(super) struct Class<C, M> {
    pub read: fn(Fields) -> Result<C>,
    /// Layers and width.
    pub sizes: fn(&C) -> [usize; 2],
    pub load: fn(C, &mut Scope<'_>) -> Result<M>,
}

impl<C, M> Class<C, M> {
    /// The transformer of a folder, and the loader of its tensors.
    pub(super) async fn open(&self, folder: &ModelFolder, options: LoadOptions) -> Result<(Transformer<M>, Loader)> {
        let mut fields = folder.config("transformer").await?;
        let diffcr = fields.object("diffcr")?;
        let config = (self.read)(fields)?;
        let [layers, width] = (self.sizes)(&config);
        let diffcr = diffcr.map(|fields| DiffcrConfig::read(fields, layers)).transpose()?;
        // Positions are computed; routers are of no use where the config has no ratios for them.
        let dense = diffcr.is_none();
        let unused = |name: &str| name == "pos_embed.pos_embed" || (dense && is_router(name));
        let load = |scope: &mut Scope<'_>| {
            let model = (self.load)(config, scope)?;
            let names = (0..layers).map(|i| format!("transformer_blocks.{i}.router.weight"));
            let routers = match diffcr {
                Some(config) => {
                    let weights = names.map(|name| scope.vector(&name, &[1, width])).collect::<Result<_>>()?;
                    Ok(Arc::new(Routers { config, weights }))
                }
                None => Err(lacking(names.clone().next().filter(|first| !scope.has(first)))),
            };
            Ok(Transformer { model, routers })
        };
        folder.build("transformer", options.dtype, unused, load).await
    }
}

/// Whether a tensor is `transformer_blocks.{i}.router.weight`.
fn is_router(name: &str) -> bool {
    let index = name.strip_prefix("transformer_blocks.").and_then(|rest| rest.strip_suffix(".router.weight"));
    index.is_some_and(|index| index.parse::<usize>().is_ok())
}

/// Why a checkpoint without `diffcr` cannot be routed.
fn lacking(router: Option<String>) -> String {
    let ratios = "its transformer/config.json has no \"diffcr\" with kept ratios";
    match router {
        None => format!("{ratios}, though its checkpoint has routers"),
        Some(first) => format!("{ratios}, and its checkpoint no routers ({first} and the like)"),
    }
}
