//! Whether a picture can be drawn again as it was.

use foveate::low_level::weights::Format;
use foveate_studio::Origin;

/// Why the form and the model in use do not draw the same picture again; nothing where they do. `in_use` is the model's
/// name and how its matrices are stored, once it is open.
pub fn obstacles(origin: &Origin, in_use: Option<(&str, Option<Format>)>) -> Vec<String> {
    let mut obstacles = Vec::new();
    match in_use {
        None => obstacles.push(format!("it was drawn with the model {:?}, and none is open yet", origin.model)),
        Some((name, dtype)) => {
            if name != origin.model {
                obstacles.push(format!("it was drawn with the model {:?}, and {name:?} is in use", origin.model));
            }
            if dtype != origin.dtype {
                let [then, now] =
                    [origin.dtype, dtype].map(|dtype| dtype.map_or("in the files".into(), |d| d.to_string()));
                obstacles.push(format!("its model was stored as {then}, and the one in use is stored as {now}"));
            }
        }
    }
    if !origin.given.is_empty() {
        let given = origin.given.join(", ").replace('_', " ");
        obstacles.push(format!("it was drawn from what its file does not hold ({given})"));
    }
    if origin.count > 1 {
        let (number, count) = (origin.index + 1, origin.count);
        obstacles.push(format!("it is picture {number} of {count} that were drawn together"));
    }
    obstacles
}

#[cfg(test)]
mod tests {
    use foveate::Request;

    use super::*;

    #[test]
    fn all_that_differs_is_named() {
        let origin = Origin::new(&Request::prompt("a fox"), "scenes", None, "DDIMScheduler");
        let same = Some(("scenes", None));
        assert!(obstacles(&origin, same).is_empty());
        let whole = |origin: &Origin, in_use| obstacles(origin, in_use).join("; ");
        assert!(whole(&origin, None).contains("none is open"));
        assert!(whole(&origin, Some(("other", None))).contains("\"other\" is in use"));
        let stored = whole(&origin, Some(("scenes", Some(Format::Int8))));
        assert_eq!(stored, "its model was stored as in the files, and the one in use is stored as int8");
        let batch = Origin { index: 1, count: 3, given: vec!["init_latents".into()], ..origin };
        assert_eq!(
            whole(&batch, same),
            "it was drawn from what its file does not hold (init latents); it is picture 2 of 3 that were drawn together"
        );
    }
}
