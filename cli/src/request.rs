//! From options to one request: what a file or a picture says, changed by every option that is given.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use foveate::compress::{Policies, Traces};
use foveate::low_level::weights::Format;
use foveate::{Compression, Error, Request, Result};
use foveate_studio::Origin;

use super::args::Generate;
use super::values;

/// The most bytes of a file with a request.
const MOST_BYTES: u64 = 1 << 20;

/// What is to be drawn.
#[derive(Debug, Default)]
pub struct Asked {
    pub request: Request,
    /// How matrices are stored.
    pub dtype: Option<Format>,
    /// The model that the picture of `--like` was drawn with.
    pub drawn_with: Option<String>,
}

impl Asked {
    /// All that can be known before any tensor is read. Refuses what no model could make sense of.
    pub fn new(options: &Generate) -> Result<Self> {
        let base = match (&options.request, &options.like) {
            (Some(path), _) => Self { request: read(path)?, ..Self::default() },
            (None, Some(path)) => like(path, options)?,
            (None, None) => Self::default(),
        };
        let asked = Self { request: changed(base.request, options)?, dtype: options.dtype.or(base.dtype), ..base };
        check(&asked.request, options)?;
        asked.request.check()?;
        Ok(asked)
    }
}

/// The request in a JSON file.
fn read(path: &Path) -> Result<Request> {
    let refuse = |reason: String| Error::Usage(format!("--request {}: {reason}", path.display()));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refuse(format!("a request has at most {MOST_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))
}

/// The request that a picture carries. Its model is a name to compare, and never a place to look.
fn like(path: &Path, options: &Generate) -> Result<Asked> {
    let Origin { request, model, dtype, given, .. } = Origin::read(path)?;
    let lacking = |name: &String| match name.as_str() {
        "init_latents" => options.init_latents.is_none(),
        "image" => options.image.is_none(),
        "mask" => options.mask.is_none() && options.outpaint.is_none(),
        "image_latents" => options.image_latents.is_none(),
        _ => !options.has_text() && options.class.is_none(),
    };
    let lacking: Vec<_> = given.iter().filter(|name| lacking(name)).map(|name| name.replace('_', "-")).collect();
    if !lacking.is_empty() {
        let reason =
            format!("it was drawn from tensors that it does not hold; give --{} again", lacking.join(" and --"));
        return Err(Error::Usage(format!("--like {}: {reason}", path.display())));
    }
    Ok(Asked { request, dtype, drawn_with: Some(model) })
}

/// The request `base`, changed by every option that is given.
fn changed(base: Request, options: &Generate) -> Result<Request> {
    let mut request = Request {
        negative: options.negative.clone().or(base.negative),
        steps: options.steps.or(base.steps),
        guidance: options.guidance.or(base.guidance),
        seed: options.seed.unwrap_or(base.seed),
        size: options.size.or(base.size),
        count: options.count.or(base.count),
        strength: options.strength.or(base.strength),
        scheduler: options.scheduler.clone().or(base.scheduler),
        compression: compression(base.compression, options)?,
        traced: options.maps.is_some() || options.save_tensors.is_some(),
        ..base
    };
    if let Some(prompt) = &options.prompt {
        request.prompt.clone_from(prompt);
    }
    if options.has_text() {
        request.class = None;
    }
    if let Some(class) = options.class {
        request = Request { prompt: String::new(), negative: None, class: Some(class), ..request };
    }
    Ok(request)
}

/// Ratio and parameters belong to their policy: another policy drops them.
fn compression(mut base: Compression, options: &Generate) -> Result<Compression> {
    if let Some(policy) = &options.compress {
        base = Compression { cache: base.cache, masked: base.masked, ..Compression::policy(policy) };
    }
    let set = values::set(&options.set)?;
    // Some policies have a parameter of that name, which says the same.
    if options.ratio.is_some() || set.contains_key("ratio") {
        base.ratio = None;
        base.set.remove("ratio");
    }
    base.ratio = options.ratio.or(base.ratio);
    base.set.extend(set);
    base.cache = options.step_cache.or(base.cache);
    base.masked = options.masked.or(base.masked);
    Ok(base)
}

/// Refuses what no model could make sense of.
fn check(request: &Request, options: &Generate) -> Result<()> {
    let based = options.request.is_some() || options.like.is_some();
    if !based && !options.has_text() && request.class.is_none() {
        return usage("nothing to draw: give a prompt, --class N, --prompt-ids or --prompt-embeds");
    }
    if request.class.is_some() && request.negative.is_some() {
        return usage("a negative prompt steers away from words, and a class has none");
    }
    let policies = Policies::default();
    policies.check(&request.compression)?;
    match &request.compression.policy {
        Some(name) if options.maps.is_some() && policies.get(name)?.traces() != Traces::Kept => {
            usage(format!("--maps: the policy {name} has no routers to map"))
        }
        _ => Ok(()),
    }
}

fn usage<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Usage(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::tests::parse;

    fn asked(words: &[&str]) -> Result<Request> {
        Asked::new(&parse(words).unwrap()).map(|asked| asked.request)
    }

    #[test]
    fn requests_without_sense_are_refused() {
        for (words, reason) in [
            (&[][..], "nothing to draw"),
            (
                &["x", "--compress", "sdtm", "--set", "size=2"],
                "sdtm has no parameter \"size\": its parameters are ratio, deviation",
            ),
            (&["x", "--compress", "tome", "--set", "stride=1"], "every token would be a destination"),
            (&["x", "--compress", "tome", "--set", "stride=2", "--set", "stride=3"], "stride is set twice"),
            (&["x", "--compress", "mod", "--set", "ratio=0.5"], "mod has no parameter \"ratio\": it has none"),
            (&["x", "--compress", "dense", "--ratio", "0.5"], "the policy dense computes every token, it has no ratio"),
            (&["x", "--compress", "dense", "--maps", "maps"], "--maps: the policy dense has no routers to map"),
        ] {
            let error = asked(words).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{words:?}: {error}");
        }
        assert_eq!(asked(&["--class", "3"]).unwrap(), Request::class(3));
    }

    #[test]
    fn options_change_a_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let base = Request {
            negative: Some("rain".into()),
            seed: 7,
            steps: Some(20),
            compression: Compression { ratio: Some(0.4), ..Compression::policy("sdtm").with("multiple", 1) },
            ..Request::prompt("a fox")
        };
        std::fs::write(file.path(), serde_json::to_string(&base).unwrap()).unwrap();
        let path = file.path().to_str().unwrap();
        let with = |words: &[&str]| asked(&[&["--request", path], words].concat()).unwrap();
        let compressed = |compression| Request { compression, ..base.clone() };
        assert_eq!(with(&[]), base);
        assert_eq!(with(&["a wolf", "--seed", "0"]), Request { seed: 0, prompt: "a wolf".into(), ..base.clone() });
        let class = Request { prompt: String::new(), negative: None, class: Some(3), ..base.clone() };
        assert_eq!(with(&["--class", "3"]), class);
        let sdtm = base.compression.clone();
        let parameters = ["--ratio", "0.2", "--set", "multiple=2", "--set", "a_s=1"];
        let more = Compression { ratio: Some(0.2), ..sdtm.clone().with("multiple", 2).with("a_s", 1) };
        assert_eq!(with(&parameters), compressed(more));
        assert_eq!(with(&["--set", "ratio=0.2"]), compressed(Compression { ratio: None, ..sdtm.with("ratio", 0.2) }));
        let cached = Compression { cache: Some("2".parse().unwrap()), ..Compression::policy("sdtm") };
        assert_eq!(with(&["--compress", "sdtm", "--step-cache", "2"]), compressed(cached));

        for (json, reason) in [
            ("{\"prompt\": ", "EOF while parsing"),
            ("{\"promt\": \"x\"}", "unknown field `promt`"),
            ("{\"size\": [18446744073709551608, 8]}", "no side may exceed 65536"),
            ("{\"size\": [16384, 16384], \"count\": 2}", "at most 268435456 pixels"),
            ("{\"count\": 1000000000000}", "at most 1024 pictures"),
            ("{\"max_length\": 1000000000000}", "at most 65536 tokens"),
            ("{\"class\": 1, \"negative\": \"x\"}", "a class has none"),
            ("{\"compression\": {\"policy\": \"gzip\"}}", "no policy \"gzip\": there are dense"),
        ] {
            std::fs::write(file.path(), json).unwrap();
            let error = asked(&["--request", path]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{json}: {error}");
        }
    }
}
