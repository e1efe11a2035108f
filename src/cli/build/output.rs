//! `--output` and `--metadata-file`: what a build leaves besides the image of the store.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{
    cli::{failure::Failure, image::output as archive, session::Session},
    observe,
};

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// The files in a directory.
    Directory(PathBuf),
    /// The files as a tar archive; `None` = standard output.
    Tar(Option<PathBuf>),
    /// The image as an archive that `docker load` reads.
    Docker(Option<PathBuf>),
    /// The image as an OCI archive.
    Oci(Option<PathBuf>),
    /// The image in the store, as without `--output`.
    Store,
    /// The image at its registry.
    Registry,
}

impl Output {
    /// Refuses what cannot be written of images for several platforms: these forms hold one.
    pub(super) fn refuse_platforms(&self, is_named: bool) -> Result<(), Failure> {
        let text = match self {
            Self::Store | Self::Registry => return Ok(()),
            Self::Directory(_) | Self::Oci(_) if is_named => return Ok(()),
            Self::Directory(_) | Self::Oci(_) => {
                "several platforms are written by their common name: give one, `-t`"
            }
            Self::Tar(_) | Self::Docker(_) => {
                "one archive of files, or for `docker load`, holds one platform: write several with type=local or type=oci, or push them"
            }
        };
        Err(Failure::Usage(text.to_owned()))
    }
}

/// `PATH`, `-`, or `type=local|tar|docker|oci|image|registry[,dest=PATH][,push=true]`, as docker has it.
pub(crate) fn parse(text: &str) -> Result<Output, String> {
    if text == "-" {
        return Ok(Output::Tar(None));
    }
    if !text.contains('=') {
        return Ok(Output::Directory(text.into()));
    }
    let (mut kind, mut destination, mut push) = (None, None, false);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("type", value)) => kind = Some(value),
            Some(("dest", value)) if !value.is_empty() => destination = Some(value),
            Some(("push", value)) => push = value == "true",
            _ => return Err(format!("`{field}`: an output has type, dest and push")),
        }
    }
    let file = || destination.filter(|path| *path != "-").map(PathBuf::from);
    match kind {
        Some("local") => destination
            .map(|path| Output::Directory(path.into()))
            .ok_or_else(|| "type=local needs a directory: dest=PATH".to_owned()),
        Some("tar") => Ok(Output::Tar(file())),
        Some("docker") if destination.is_none() => Ok(Output::Store),
        Some("docker") => Ok(Output::Docker(file())),
        Some("oci") => Ok(Output::Oci(file())),
        Some("registry") => Ok(Output::Registry),
        Some("image") if push => Ok(Output::Registry),
        Some("image") => Ok(Output::Store),
        _ => Err("type is local, tar, docker, oci, image or registry".to_owned()),
    }
}

/// Writes what was asked for; `names` name the image, its id when it has none. With several platforms a directory has one for each.
pub(super) fn write(
    session: &Session<'_>,
    output: &Output,
    names: &[String],
    has_platforms: bool,
) -> Result<(), Failure> {
    let root = &session.settings.root;
    let name = names.first().map_or("", String::as_str);
    let save = |file: &Option<PathBuf>, oci: bool| {
        archive(session, file.as_deref(), |out| {
            observe::save_images(root, names, oci, out).map_err(|error| Failure::error(&error))
        })
    };
    match output {
        Output::Store | Output::Registry => Ok(()),
        Output::Directory(path) => {
            let path = session.settings.working_dir.join(path);
            let intent = format!("write the files to `{}`", path.display());
            let fail = |error| Failure::intent(&intent, &error);
            if !has_platforms {
                return observe::copy_image(root, name, &path).map_err(fail);
            }
            for (platform, id) in observe::platform_images(root, name).map_err(fail)? {
                // As docker names them: linux_arm64.
                let below = path.join(platform.replace('/', "_"));
                observe::copy_image(root, id.as_str(), &below).map_err(fail)?;
            }
            Ok(())
        }
        Output::Tar(file) => archive(session, file.as_deref(), |out| {
            observe::export_image(root, name, out).map_err(|error| Failure::error(&error))
        }),
        Output::Docker(file) => save(file, false),
        Output::Oci(file) => save(file, true),
    }
}

/// Writes what the image is called, in docker's words.
pub(super) fn write_metadata(path: &Path, id: &str, tags: &[String]) -> Result<(), Failure> {
    let mut document = json!({"containerimage.config.digest": id});
    if !tags.is_empty() {
        document["image.name"] = json!(tags.join(","));
    }
    fs_err::write(path, format!("{document:#}\n"))
        .map_err(|error| Failure::intent("write the metadata", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_have_a_type_and_a_place() {
        for (text, expected) in [
            ("out", Output::Directory("out".into())),
            ("-", Output::Tar(None)),
            ("type=local,dest=out", Output::Directory("out".into())),
            ("type=tar,dest=-", Output::Tar(None)),
            (
                "type=docker,dest=a.tar",
                Output::Docker(Some("a.tar".into())),
            ),
            ("type=docker", Output::Store),
            ("dest=a.tar,type=oci", Output::Oci(Some("a.tar".into()))),
            ("type=image,push=true", Output::Registry),
            ("type=registry", Output::Registry),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for bad in [
            "type=local",
            "type=tape",
            "dest=x",
            "type=oci,compression=zstd",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
