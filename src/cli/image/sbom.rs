//! `stack image sbom`: the packages in an image's files, as a table or as a document for other programs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    cli::{failure::Failure, images::familiar, session::Session},
    inventory::{self, About, Coverage, Inventory, image_purl, package_purl},
    model::{ImageDetails, Timestamp},
    observe, store,
    ui::table::Table,
};

/// Longest licence of a table.
const LICENCE_MAX: usize = 40;

/// List the packages in an image's files (a software bill of materials)
#[derive(Debug, Args)]
#[command(
    after_help = "Read are dpkg, apk and rpm databases, installed Python and npm packages, Java archives, and what Go and \
cargo-auditable record in programs; straight from the layers, nothing of the image is run. SOURCE_DATE_EPOCH sets the time in \
documents."
)]
pub(in crate::cli) struct Arguments {
    /// Name, id or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Form of the list
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// The file to write; standard output when it is left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// SPDX 2.3, JSON
    #[value(alias = "spdx-json")]
    Spdx,
    /// CycloneDX 1.6, JSON
    #[value(alias = "cyclonedx-json")]
    Cyclonedx,
    /// What was found, and what could not be seen
    Json,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.output.is_some() {
        session.refuse_dry_run("image sbom -o")?;
    }
    let time = time(session)?;
    let (details, inventory) = observe::packages(&session.settings.root, &arguments.image)
        .map_err(|error| Failure::error(&error))?;
    let about = about(&details, time);
    let text = match arguments.format {
        Form::Table => table(&inventory).render(),
        Form::Spdx => format!("{:#}\n", inventory::spdx(&inventory, &about)),
        Form::Cyclonedx => format!("{:#}\n", inventory::cyclonedx(&inventory, &about)),
        Form::Json => format!("{:#}\n", object(&inventory, &about)),
    };
    emit(session, arguments.output.as_deref(), &text)?;
    if arguments.format == Form::Table {
        session.ui.say(&summary(&inventory));
    }
    tell(session, &inventory.coverage);
    Ok(())
}

/// Writes text to a file, which appears only when it is complete, or to standard output.
pub(super) fn emit(session: &Session<'_>, file: Option<&Path>, text: &str) -> Result<(), Failure> {
    match file.filter(|file| *file != Path::new("-")) {
        None => Ok(session.ui.data(text)?),
        Some(file) => super::transfer::output(session, Some(file), |out| {
            out.write_all(text.as_bytes())
                .map_err(|error| Failure::intent(format!("write `{}`", file.display()), &error))
        }),
    }
}

/// The time of documents: now, or what SOURCE_DATE_EPOCH says.
fn time(session: &Session<'_>) -> Result<Timestamp, Failure> {
    match session.settings.environment.get("SOURCE_DATE_EPOCH") {
        None => Ok(store::now()),
        Some(text) => match text.parse::<u64>() {
            Ok(seconds) => Ok(Timestamp(seconds.saturating_mul(1000))),
            Err(_not_a_number) => Err(Failure::Usage(format!(
                "SOURCE_DATE_EPOCH `{text}` is not a number of seconds since 1970"
            ))),
        },
    }
}

/// Says which image it is.
pub(super) fn about(details: &ImageDetails, time: Timestamp) -> About {
    let summary = &details.summary;
    let reference = summary.references.first();
    let name = reference.map_or_else(|| summary.id.to_string(), |name| familiar(name));
    let architecture = details.platform.split('/').nth(1).unwrap_or_default();
    let purl = reference
        .zip(details.manifest.as_ref())
        .map(|(full, digest)| {
            let full = full.split('@').next().unwrap_or_default();
            // A colon before the last slash belongs to the registry's port.
            let (repository, tag) = match full.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
                _ => (full, None),
            };
            image_purl(repository, digest, architecture, tag)
        });
    About {
        name,
        id: summary.id.clone(),
        manifest: details.manifest.clone(),
        purl,
        platform: details.platform.clone(),
        layers: details.layers.iter().map(|(id, _)| id.clone()).collect(),
        time,
    }
}

fn table(inventory: &Inventory) -> Table {
    let mut table = Table::new(["NAME", "VERSION", "TYPE", "LAYER", "LICENSE"]);
    for package in &inventory.packages {
        let mut licence = package.licences.join(", ").replace(['\n', '\t'], " ");
        if licence.chars().count() > LICENCE_MAX {
            licence = licence.chars().take(LICENCE_MAX - 1).chain(['…']).collect();
        }
        table.row([
            package.name.clone(),
            package.version.clone(),
            package.kind.as_str().to_owned(),
            package.layer.to_string(),
            licence,
        ]);
    }
    table
}

fn object(inventory: &Inventory, about: &About) -> serde_json::Value {
    let packages = inventory.packages.iter().map(|package| {
        let mut object = json!(package);
        object["purl"] = package_purl(package, inventory.distro.as_ref()).into();
        object["layer_diff_id"] = json!(about.layers.get(package.layer));
        object
    });
    json!({
        "image": {
            "name": about.name, "id": about.id, "manifest": about.manifest,
            "purl": about.purl, "platform": about.platform, "layers": about.layers,
        },
        "distro": inventory.distro,
        "packages": packages.collect::<Vec<_>>(),
        "coverage": inventory.coverage,
    })
}

fn summary(inventory: &Inventory) -> String {
    let count = match inventory.packages.len() {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    };
    match &inventory.distro {
        Some(distro) => format!("{count}, {}", distro.name),
        None => count,
    }
}

/// Tells what could not be seen.
pub(super) fn tell(session: &Session<'_>, coverage: &Coverage) {
    for unread in &coverage.unread {
        let text = format!("`{}` was not read: {}", unread.path, unread.reason);
        session.ui.warn(&text);
    }
    for unsupported in &coverage.unsupported {
        session.ui.warn(&format!(
            "{} are not read: {} found, such as `{}`",
            unsupported.what, unsupported.count, unsupported.example
        ));
    }
    if coverage.binaries_without_package > 0 {
        let example = coverage.binaries_without_package_examples.first();
        session.ui.warn(&format!(
            "{} of {} programs and shared libraries belong to no package, such as `{}`",
            coverage.binaries_without_package,
            coverage.binaries,
            example.map_or("", String::as_str)
        ));
    }
}
