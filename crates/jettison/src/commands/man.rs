//! `jettison man [DIR]`: man pages, made from the definitions that arguments are parsed with.

use std::process::ExitCode;

use clap_mangen::Man;

use super::print;
use crate::args;
use crate::failure::Failure;

pub(crate) fn run(args: &args::Man) -> Result<ExitCode, Failure> {
    let pages = pages();
    let Some(folder) = &args.folder else {
        let (_, page) = pages.into_iter().next().unwrap_or_default();
        return print(&page);
    };
    std::fs::create_dir_all(folder).map_err(|e| Failure::io("make", folder.display(), &e))?;
    for (name, page) in pages {
        let path = folder.join(name);
        std::fs::write(&path, page).map_err(|e| Failure::io("write", path.display(), &e))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// File names and texts: `jettison.1`, then one page for each command.
fn pages() -> Vec<(String, String)> {
    let mut whole = args::command();
    // Subcommands know the flags that all share only after this.
    whole.build();
    let mut pages = vec![("jettison.1".to_owned(), page(&whole))];
    for command in whole.get_subcommands() {
        pages.push((format!("jettison-{}.1", command.get_name()), page(command)));
    }
    pages
}

fn page(command: &clap::Command) -> String {
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    let _ = Man::new(command.clone()).render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_for_each_command_with_every_flag() {
        let pages = pages();
        for command in args::command().get_subcommands() {
            let name = command.get_name();
            let file = format!("jettison-{name}.1");
            let page = &pages.iter().find(|(page, _)| *page == file).unwrap().1;
            let about = command.get_about().unwrap().to_string();
            assert!(page.contains(&format!(".TH jettison-{name}")), "{page}");
            assert!(page.contains(about.split('\'').next().unwrap()), "{name}: {about}\n{page}");
            for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
                let Some(long) = flag.get_long() else { continue };
                assert!(page.contains(&long.replace('-', "\\-")), "{name}: no --{long}\n{page}");
            }
            assert!(pages[0].1.contains(&name.replace('-', "\\-")), "no {name} in jettison.1");
        }
    }
}
