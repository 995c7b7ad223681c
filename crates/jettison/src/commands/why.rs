//! `jettison why`: for the last build, why each step ran again.

use std::process::ExitCode;

use jettison_ui as ui;
use serde_json::json;

use super::{last_build, print};
use crate::args::{ReportFormat, Why};
use crate::environment::Environment;
use crate::failure::{Failure, Kind};

pub(crate) fn run(args: &Why, environment: &Environment) -> Result<ExitCode, Failure> {
    let record = last_build::load(&environment.store()?)?;
    let steps = ui::chosen(&record, args.step.as_deref());
    if let (true, Some(wanted)) = (steps.is_empty(), &args.step) {
        return Err(Failure::new(Kind::Usage, format!("the last build has no step {wanted:?}"))
            .hint("`jettison why` lists them"));
    }
    match args.format {
        ReportFormat::Text => print(&ui::why(&record, &steps)),
        ReportFormat::Json => {
            let mut text = String::new();
            for (number, step) in steps {
                let mut object = serde_json::to_value(step).expect("a step can always be written as JSON");
                object["number"] = json!(number);
                text.push_str(&format!("{object}\n"));
            }
            print(&text)
        }
    }
}
