//! `jettison login`: checks a user name and password with the registry, then stores them where docker does.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use jettison_registry::{Client, Config};

use super::print;
use crate::args::Login;
use crate::failure::Failure;

/// Longest password that is read from standard input, bytes.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

pub(crate) fn run(args: &Login) -> Result<ExitCode, Failure> {
    let client = Client::new(Config::from_env()?);
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ")?,
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|e| Failure::io("read", "standard input", &e))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if let Some(password) = &args.password {
        password.clone()
    } else {
        return Err(Failure::usage("no password given")
            .hint("use --password-stdin, such as `pass show REGISTRY | jettison login … --password-stdin`"));
    };
    client.check_login(&args.registry, &user, &password)?;
    let place = client.save_login(&args.registry, &user, &password)?;
    print(&format!("Login succeeded; credentials stored in {place}\n"))
}

fn ask(prompt: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("no user name given").hint("use --username NAME"));
    }
    let mut err = std::io::stderr().lock();
    // The question is for people only; if it cannot be shown the answer can still be typed.
    let _ = err.write_all(prompt.as_bytes()).and_then(|()| err.flush());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| Failure::io("read", "standard input", &e))?;
    Ok(line.trim().to_owned())
}
