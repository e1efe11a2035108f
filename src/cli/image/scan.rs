//! `stack image scan`: the packages of an image against OSV records on disk.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fs_err as fs;
use serde_json::json;

use super::sbom::{about, emit, tell};
use crate::{
    cli::{clock, failure::Failure, session::Session},
    inventory::Inventory,
    model::Timestamp,
    observe,
    scan::{self, DatabaseFacts, Finding, IgnoreList, Report, Severity},
    store,
    ui::table::Table,
};

/// Exit code when something was found.
const FOUND: u8 = 9;

/// A database this old is worth a warning.
const AGE_MAX_MS: u64 = 7 * 24 * 3600 * 1000;

/// Undecided comparisons that are shown.
const UNDECIDED_SHOWN_MAX: usize = 5;

/// Variable that osv-scanner has for the directory of its databases.
const DATABASE_VARIABLE: &str = "OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY";

/// Compare the packages in an image with known vulnerabilities from a local database
#[derive(Debug, Args)]
#[command(
    after_help = "The database is OSV records: `all.zip` of an ecosystem as OSV publishes it, JSON, NDJSON (also .gz, \
.zst), or a directory of such files. Nothing is downloaded. Levels are critical, high, medium, low, negligible and unknown.\n\n\
Exit code 9: vulnerabilities were found; 0: none in the packages that the database covers."
)]
pub(in crate::cli) struct Arguments {
    /// Name, id or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// File or directory with OSV records [default: $OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY]
    #[arg(long, value_name = "PATH")]
    db: Option<PathBuf>,
    /// Show only what is at least this severe, such as `high`
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "unknown",
        hide_default_value = true
    )]
    severity: Severity,
    /// End with code 9 only for what is at least this severe, or `never` [default: whatever is shown and not negligible]
    #[arg(long, value_name = "LEVEL")]
    fail_on: Option<FailOn>,
    /// Ids not to show: one a line, with `package=NAME` and `until=DATE` if wanted
    #[arg(long, value_name = "FILE")]
    ignore: Option<PathBuf>,
    /// Form of the result
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
    /// Findings, and what is covered
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// What makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    Never,
    AtLeast(Severity),
}

impl std::str::FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            text => match text.parse() {
                Ok(severity) => Ok(Self::AtLeast(severity)),
                Err(error) => Err(format!("{error}, nor `never`")),
            },
        }
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.output.is_some() {
        session.refuse_dry_run("image scan -o")?;
    }
    let ignored = ignore_list(session, arguments)?;
    let database = database(session, arguments)?;
    let (details, inventory) = observe::packages(&session.settings.root, &arguments.image)
        .map_err(|error| Failure::error(&error))?;
    if inventory.packages.is_empty() {
        let text = "no packages were found in the image: nothing can be said about it";
        tell(session, &inventory.coverage);
        return Err(Failure::message(text).hint(format!("stack image sbom {}", arguments.image)));
    }
    let mut report = scan::scan(&inventory, &database).map_err(|error| Failure::error(&error))?;
    if report.packages_covered() == 0 {
        return Err(nothing_covered(&report));
    }
    let filtered = ignored.filter(std::mem::take(&mut report.findings), store::now());
    let all = filtered.kept.len();
    report.findings = filtered.kept;
    report
        .findings
        .retain(|finding| finding.severity >= arguments.severity);
    let name = about(&details, Timestamp(0)).name;
    let text = match arguments.format {
        Form::Table if report.findings.is_empty() => String::new(),
        Form::Table => table(&report.findings).render(),
        Form::Json => {
            let mut object = json!(report);
            object["image"] = json!({"name": name, "id": details.summary.id});
            object["ignored"] = filtered.ignored.into();
            object["coverage"] = json!(inventory.coverage);
            format!("{object:#}\n")
        }
        Form::Sarif => format!("{:#}\n", scan::sarif(&report.findings, &name)),
    };
    emit(session, arguments.output.as_deref(), &text)?;
    for note in &filtered.notes {
        session.ui.warn(&format!("the ignore list, {note}"));
    }
    let not_shown = Hidden {
        below: all - report.findings.len(),
        ignored: filtered.ignored,
    };
    tell_report(session, &report, &inventory, &not_shown);
    if is_failure(arguments.fail_on, &report.findings) {
        return Err(Failure::Status(FOUND));
    }
    Ok(())
}

fn ignore_list(session: &Session<'_>, arguments: &Arguments) -> Result<IgnoreList, Failure> {
    let Some(file) = &arguments.ignore else {
        return Ok(IgnoreList::default());
    };
    let path = session.settings.working_dir.join(file);
    let text = fs::read_to_string(&path).map_err(|error| Failure::error(&error))?;
    IgnoreList::parse(&text)
        .map_err(|error| Failure::intent(format!("read `{}`", path.display()), &error))
}

fn database(session: &Session<'_>, arguments: &Arguments) -> Result<PathBuf, Failure> {
    let variable = || {
        session
            .settings
            .environment
            .get(DATABASE_VARIABLE)
            .map(PathBuf::from)
    };
    let path = arguments.db.clone().or_else(variable).ok_or_else(|| {
        Failure::Usage(
            "no database: give `--db PATH` with OSV records, such as an ecosystem's `all.zip` from OSV"
                .to_owned(),
        )
    })?;
    Ok(session.settings.working_dir.join(path))
}

fn nothing_covered(report: &Report) -> Failure {
    let names: Vec<&str> = report
        .covers
        .iter()
        .map(|cover| &*cover.ecosystem)
        .collect();
    Failure::message(format!(
        "the database has no records about this image's packages: none of its {} is of {}",
        report.database.records,
        names.join(", ")
    ))
}

fn is_failure(fail_on: Option<FailOn>, findings: &[Finding]) -> bool {
    match fail_on {
        Some(FailOn::Never) => false,
        Some(FailOn::AtLeast(least)) => findings.iter().any(|finding| finding.severity >= least),
        None => findings
            .iter()
            .any(|finding| finding.severity != Severity::Negligible),
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new([
        "PACKAGE", "VERSION", "ID", "SEVERITY", "FIXED", "TYPE", "LAYER",
    ]);
    for finding in findings {
        let severity = match finding.score {
            Some(score) => format!("{} {score:.1}", finding.severity),
            None => finding.severity.to_string(),
        };
        table.row([
            finding.package.clone(),
            finding.version.clone(),
            finding.id.clone(),
            severity,
            finding.fixed.clone().unwrap_or_else(|| "-".to_owned()),
            finding.kind.as_str().to_owned(),
            finding.layer.to_string(),
        ]);
    }
    table
}

/// Findings that are not in the table.
struct Hidden {
    below: usize,
    ignored: usize,
}

/// Says what was found, and what could not be said.
fn tell_report(session: &Session<'_>, report: &Report, inventory: &Inventory, hidden: &Hidden) {
    let ui = session.ui;
    ui.say(&summary(report, hidden));
    for cover in report.covers.iter().filter(|cover| cover.records == 0) {
        ui.warn(&format!(
            "{} not covered: the database has no records of {}",
            packages(cover.packages),
            cover.ecosystem
        ));
    }
    if !report.undecided.is_empty() {
        let shown = report.undecided.iter().take(UNDECIDED_SHOWN_MAX);
        let shown: Vec<&str> = shown.map(String::as_str).collect();
        ui.warn(&format!(
            "{} versions could not be compared with records: {}",
            report.undecided.len(),
            shown.join(", ")
        ));
    }
    tell_database(session, &report.database);
    tell(session, &inventory.coverage);
}

fn summary(report: &Report, hidden: &Hidden) -> String {
    let covered = packages(report.packages_covered());
    let text = match report.findings.len() {
        0 => format!("no known vulnerability shown for {covered} that the database covers"),
        1 => format!("1 vulnerability in {covered} that the database covers"),
        count => format!("{count} vulnerabilities in {covered} that the database covers"),
    };
    let counts = Severity::ALL.iter().filter_map(|severity| {
        let of_severity = report
            .findings
            .iter()
            .filter(|finding| finding.severity == *severity);
        let count = of_severity.count();
        (count > 0).then(|| format!("{count} {severity}"))
    });
    let counts: Vec<String> = counts.collect();
    let counts = match counts.join(", ") {
        counts if counts.is_empty() => counts,
        counts => format!(": {counts}"),
    };
    let rest = [
        (hidden.below, "less severe or unknown, not shown"),
        (hidden.ignored, "ignored"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0);
    let rest: Vec<String> = rest
        .map(|(count, what)| format!("; {count} {what}"))
        .collect();
    format!("{text}{counts}{}", rest.concat())
}

fn packages(count: usize) -> String {
    match count {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    }
}

fn tell_database(session: &Session<'_>, database: &DatabaseFacts) {
    let time = database
        .latest
        .as_ref()
        .and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let time = time
        .and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(Timestamp);
    match time {
        None => session
            .ui
            .warn("no record of the database says when it was changed"),
        Some(time) => {
            let text = format!(
                "database: {} records, the latest changed {}",
                database.records,
                clock::ago(time)
            );
            if store::now().since_ms(time) > AGE_MAX_MS {
                session.ui.warn(&format!(
                    "{text}: newer vulnerabilities are not known to it"
                ));
            } else {
                session.ui.say(&text);
            }
        }
    }
    if database.unread > 0 {
        session.ui.warn(&format!(
            "{} parts of the database were not read, such as: {}",
            database.unread,
            database.problems.first().map_or("", String::as_str)
        ));
    }
}
