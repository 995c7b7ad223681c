//! Why steps ran, as text.

use crate::record::{Record, Step};

/// The steps of a record that `wanted` means: all, that of a number from 1, or those whose name or stage has the text.
pub fn chosen<'a>(record: &'a Record, wanted: Option<&str>) -> Vec<(usize, &'a Step)> {
    let numbered = record.steps.iter().enumerate().map(|(index, step)| (index + 1, step));
    match wanted.map(|text| (text, text.trim_start_matches('#').parse::<usize>())) {
        None => numbered.collect(),
        Some((_, Ok(number))) => numbered.filter(|(n, _)| *n == number).collect(),
        Some((text, Err(_))) => {
            let text = text.to_lowercase();
            let has =
                |step: &Step| step.stage.to_lowercase() == text || step.name.to_lowercase().contains(&text);
            numbered.filter(|(_, step)| has(step)).collect()
        }
    }
}

/// Steps with what became of each, and why those that ran did.
pub fn why(record: &Record, steps: &[(usize, &Step)]) -> String {
    let count = |fate: &str| record.steps.iter().filter(|step| step.fate == fate).count();
    let mut text = format!(
        "{}: {} of {} steps ran, {} came from the cache\n",
        plain(&record.dockerfile),
        count("ran") + count("failed"),
        record.steps.len(),
        count("cached"),
    );
    for (number, step) in steps {
        let time = record.tasks.get(number - 1).and_then(|bar| Some(bar.end_ms? - bar.start_ms?));
        let fate = match (step.fate.as_str(), time) {
            ("ran", Some(time)) => format!("ran, {:.1} s", time as f64 / 1000.0),
            ("not-needed", _) => "not needed".to_owned(),
            (fate, _) => fate.to_owned(),
        };
        text.push_str(&format!("#{number} {}: {fate}\n", plain(&step.name)));
        for cause in &step.causes {
            text.push_str(&format!("   {}\n", plain(&cause.text)));
        }
    }
    text
}

/// Texts come from Dockerfiles and contexts and may hold anything.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Bar, Reason};

    fn record() -> Record {
        let step = |name: &str, stage: &str, fate: &str, causes: &[&str]| Step {
            name: name.into(),
            stage: stage.into(),
            fate: fate.into(),
            causes: causes.iter().map(|text| Reason { text: (*text).into(), ..Reason::default() }).collect(),
            ..Step::default()
        };
        Record {
            dockerfile: "Dockerfile".into(),
            steps: vec![
                step("[build 2/3] ADD . /app", "build", "ran", &["main.go: content: 1a → 2b"]),
                step("[build 3/3] RUN go build", "build", "ran", &["the step before it changed"]),
                step("[stage-1 1/1] COPY --from=build /x /x", "stage-1", "cached", &[]),
            ],
            tasks: vec![
                Bar { start_ms: Some(0), end_ms: Some(20), ..Bar::default() },
                Bar { start_ms: Some(20), end_ms: Some(2520), ..Bar::default() },
            ],
            ..Record::default()
        }
    }

    #[test]
    fn all_steps() {
        let record = record();
        insta::assert_snapshot!(why(&record, &chosen(&record, None)), @"
        Dockerfile: 2 of 3 steps ran, 1 came from the cache
        #1 [build 2/3] ADD . /app: ran, 0.0 s
           main.go: content: 1a → 2b
        #2 [build 3/3] RUN go build: ran, 2.5 s
           the step before it changed
        #3 [stage-1 1/1] COPY --from=build /x /x: cached
        ");
    }

    #[test]
    fn steps_by_number_text_and_stage() {
        let record = record();
        let numbers = |wanted: &str| -> Vec<usize> {
            chosen(&record, Some(wanted)).into_iter().map(|(number, _)| number).collect()
        };
        assert_eq!(numbers("2"), [2]);
        assert_eq!(numbers("#3"), [3]);
        assert_eq!(numbers("go build"), [2]);
        assert_eq!(numbers("BUILD"), [1, 2, 3], "a stage, and names with that text");
        assert_eq!(numbers("nothing"), [0_usize; 0]);
    }
}
