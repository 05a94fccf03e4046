//! Which policies there are, by name. A host can add its own.

use std::fmt::Debug;
use std::sync::Arc;

use super::{
    AnyPolicy, Cached, Compression, Dense, Diffcr, KvKind, Mod, Parameter, Parameters, SdtmKind, TomeKind, Trained,
};
use crate::loading::{Fields, Scope};
use crate::{Error, Refusal, Result};

/// A kind of policy that requests can name.
pub trait PolicyKind: Debug + Send + Sync + 'static {
    /// Its name in requests.
    fn name(&self) -> &str;

    /// What it does, in a few words, for help texts and menus.
    fn summary(&self) -> &str;

    /// The parameters that a request can set.
    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    /// Why it has no ratio ("computes every token"), for a kind without one.
    fn no_ratio(&self) -> Option<&str> {
        None
    }

    /// What a traced run of it shows of its layers.
    fn traces(&self) -> Traces {
        Traces::Nothing
    }

    /// The object in `transformer/config.json` that describes a model trained for this kind.
    fn config(&self) -> Option<&str> {
        None
    }

    /// Reads what this kind was trained with: that object, and tensors of the transformer's checkpoint. What it puts in
    /// `trained` reaches [`PolicyKind::policy`]. Called once when a model of so many layers and such a width is opened.
    fn read(
        &self,
        _config: Option<Fields>,
        _scope: &mut Scope<'_>,
        _layers: usize,
        _width: usize,
        _trained: &mut Trained,
    ) -> Result<()> {
        Ok(())
    }

    /// Whether the model was made for this kind, which is then used where a request names none.
    fn made_for(&self, _trained: &Trained) -> bool {
        false
    }

    /// What a model lacks for this kind.
    fn lacks(&self, _trained: &Trained) -> Option<String> {
        None
    }

    /// The policy itself.
    fn policy(&self, choice: Choice<'_>) -> Result<AnyPolicy>;
}

/// What a traced run records of each layer, see [`Run::trace`](crate::Run::trace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Nothing.
    Nothing,
    /// Which tokens were kept, and their scores.
    Kept,
    /// Which tokens shared a row.
    Merged,
}

/// What a [`PolicyKind`] makes its policy from.
#[derive(Debug)]
pub struct Choice<'a> {
    /// What was set. The ratio is among them for a kind that has a parameter of that name.
    pub parameters: Parameters,
    /// The share of the tokens to save, where the request says so.
    pub ratio: Option<f64>,
    /// What the checkpoint brings.
    pub trained: &'a Trained,
    /// All kinds, for a policy that wraps another.
    pub policies: &'a Policies,
    /// Seed of what the policy draws at random.
    pub seed: u64,
    /// Whether what the policy decides is to stay readable after every step.
    pub traced: bool,
}

/// The kinds of policies by name.
#[derive(Clone, Debug)]
pub struct Policies(Vec<Arc<dyn PolicyKind>>);

impl Default for Policies {
    /// Those of this crate.
    fn default() -> Self {
        Self(vec![
            Arc::new(Dense),
            Arc::new(Diffcr),
            Arc::new(Mod),
            Arc::new(SdtmKind),
            Arc::new(TomeKind),
            Arc::new(KvKind),
        ])
    }
}

impl Policies {
    /// Adds a kind. It replaces one of the same name.
    pub fn add(&mut self, kind: impl PolicyKind) {
        self.0.retain(|known| known.name() != kind.name());
        self.0.push(Arc::new(kind));
    }

    /// All kinds.
    pub fn iter(&self) -> impl Iterator<Item = &dyn PolicyKind> {
        self.0.iter().map(Arc::as_ref)
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(PolicyKind::name).collect()
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Result<&dyn PolicyKind> {
        self.iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = self.names().into_iter().map(str::to_owned).collect();
            Error::Refused(Refusal::UnknownPolicy { name: name.into(), known })
        })
    }

    /// The kinds that a model with these trained values can run.
    pub fn runnable<'a>(&'a self, trained: &'a Trained) -> impl Iterator<Item = &'a dyn PolicyKind> {
        self.iter().filter(|kind| kind.lacks(trained).is_none())
    }

    /// Takes the objects of all kinds out of the transformer's config.
    pub fn configs(&self, fields: &mut Fields) -> Result<Vec<Option<Fields>>> {
        self.iter().map(|kind| kind.config().map_or(Ok(None), |name| fields.object(name))).collect()
    }

    /// Reads what a transformer's files hold for the kinds, with the objects that [`Policies::configs`] found.
    pub fn read(
        &self,
        configs: Vec<Option<Fields>>,
        scope: &mut Scope<'_>,
        layers: usize,
        width: usize,
    ) -> Result<Trained> {
        let mut trained = Trained::default();
        let mut each = self.iter().zip(configs);
        each.try_for_each(|(kind, config)| kind.read(config, scope, layers, width, &mut trained))?;
        Ok(trained)
    }

    /// Refuses what no model could run. Names, parameters and ratio are checked.
    pub fn check(&self, compression: &Compression) -> Result<()> {
        let Some(name) = &compression.policy else { return Ok(()) };
        let kind = self.get(name)?;
        let parameters = parameters(kind, compression)?;
        let trained = Trained::default();
        if kind.lacks(&trained).is_some() {
            return Ok(());
        }
        let (ratio, trained) = (compression.ratio, &trained);
        kind.policy(Choice { parameters, ratio, trained, policies: self, seed: 0, traced: false }).map(drop)
    }

    /// The kind that a request names, or what the checkpoint was made for, or dense.
    pub fn chosen(&self, compression: &Compression, trained: &Trained) -> Result<&dyn PolicyKind> {
        match &compression.policy {
            Some(name) => self.get(name),
            None => self.iter().find(|kind| kind.made_for(trained)).map_or_else(|| self.get("dense"), Ok),
        }
    }

    /// The policy that a request asks for.
    pub fn policy(&self, compression: &Compression, trained: &Trained, seed: u64, traced: bool) -> Result<AnyPolicy> {
        let kind = self.chosen(compression, trained)?;
        let parameters = parameters(kind, compression)?;
        if let Some(lacking) = kind.lacks(trained) {
            return Err(Error::Refused(Refusal::Untrained { policy: kind.name().into(), lacking }));
        }
        let ratio = compression.ratio;
        let policy = kind.policy(Choice { parameters, ratio, trained, policies: self, seed, traced })?;
        Ok(match compression.cache {
            None => policy,
            Some(cache) => AnyPolicy::new(Cached { policy, cache }),
        })
    }
}

/// What was set, with the ratio where the kind has a parameter of that name.
fn parameters(kind: &dyn PolicyKind, compression: &Compression) -> Result<Parameters> {
    let name = kind.name();
    let mut given: Vec<(String, String)> = compression.set.clone().into_iter().collect();
    if let Some(ratio) = compression.ratio {
        if let Some(why) = kind.no_ratio() {
            return Err(Error::Refused(Refusal::NoRatio { policy: name.into(), why: why.into() }));
        }
        if kind.parameters().iter().any(|known| known.name == "ratio") {
            given.push(("ratio".into(), ratio.to_string()));
        }
    }
    Parameters::new(name, kind.parameters(), given)
}
