//! Commands. The only module that prints, reads the environment, or ends the process.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this module talks to a person at a terminal")]

mod certificates;
mod run;
mod sample;
mod session;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config;
use crate::identity::{Password, hash_password};

/// One HTTPS door in front of a company's cloud development environments.
#[derive(Debug, Parser)]
#[command(name = "usher", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run {
        /// The configuration file.
        config: PathBuf,
        /// Take over the listening sockets of the gateway that runs with the same `listen.handover_socket`.
        #[arg(long)]
        upgrade: bool,
    },
    /// Check a configuration file: every problem at once, with line and column. Ends with 1 if there is one.
    Check {
        /// The configuration file.
        config: PathBuf,
        /// How to report.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the JSON schema of the configuration file.
    Schema {
        /// Print the reference page instead.
        #[arg(long)]
        markdown: bool,
    },
    /// Read a password from standard input and print its argon2id hash for the users file.
    HashPassword,
    /// Write a new session key: 32 random bytes, readable by its owner only.
    SessionKey {
        /// The file to write; it must not exist yet.
        file: PathBuf,
    },
    /// Write a new key for assertions (PKCS#8 in PEM form), readable by its owner only.
    AssertionKey {
        /// The file to write; it must not exist yet.
        file: PathBuf,
        /// What it signs with.
        #[arg(long, value_enum, default_value_t = Algorithm::Es256)]
        algorithm: Algorithm,
    },
    /// Work on browser logins.
    Session {
        /// What to do.
        #[command(subcommand)]
        command: session::SessionCommand,
    },
    /// Make a certificate authority and a server certificate for development.
    DevCertificates {
        /// Folder for ca.crt, ca.key, tls.crt and tls.key.
        folder: PathBuf,
        /// DNS names and IP addresses of the server.
        #[arg(long = "name", default_values = ["localhost", "127.0.0.1", "::1"])]
        names: Vec<String>,
    },
    /// Serve a small workspace to try a gateway with; what `command` of a kind may run.
    SampleWorkspace {
        /// TCP port on 127.0.0.1.
        #[arg(long)]
        port: u16,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    Es256,
    Eddsa,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match run_command(Arguments::parse().command) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("usher: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Run { config, upgrade } => run::run(&config, upgrade),
        Command::Check { config, format } => Ok(check(&config, format)),
        Command::Schema { markdown } => schema(markdown),
        Command::HashPassword => hash(),
        Command::SessionKey { file } => session_key(&file),
        Command::AssertionKey { file, algorithm } => assertion_key(&file, algorithm),
        Command::Session { command } => session::run(command),
        Command::DevCertificates { folder, names } => dev_certificates(&folder, &names),
        Command::SampleWorkspace { port } => sample_workspace(port),
    }
}

fn check(path: &Path, format: Format) -> ExitCode {
    let result = config::check(path);
    match (&result, format) {
        (Ok(loaded), Format::Text) => {
            for warning in &loaded.warnings {
                eprintln!("{warning}");
            }
            println!("{}: no problems", path.display());
        }
        (Err(report), Format::Text) => eprint!("{report}"),
        (Ok(loaded), Format::Json) => {
            println!("{}", serde_json::json!({ "valid": true, "problems": loaded.warnings }));
        }
        (Err(report), Format::Json) => println!("{}", serde_json::json!(report)),
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn schema(markdown: bool) -> Result<ExitCode, String> {
    if markdown {
        print!("{}", config::reference());
    } else {
        println!("{:#}", config::schema());
    }
    Ok(ExitCode::SUCCESS)
}

fn hash() -> Result<ExitCode, String> {
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        eprint!("Password: ");
    }
    // One line is a password; a file that was piped in by mistake is not read to its end.
    std::io::stdin().take(4096).read_to_string(&mut text).map_err(|error| format!("cannot read: {error}"))?;
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    let password = Password::new(line.to_owned()).map_err(|error| error.to_string())?;
    println!("{}", hash_password(&password));
    Ok(ExitCode::SUCCESS)
}

fn session_key(file: &Path) -> Result<ExitCode, String> {
    let mut key = [0u8; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| "the system gives no random bytes".to_owned())?;
    write_key(file, &key)
}

fn assertion_key(file: &Path, algorithm: Algorithm) -> Result<ExitCode, String> {
    let algorithm = match algorithm {
        Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::Eddsa => &rcgen::PKCS_ED25519,
    };
    let key = rcgen::KeyPair::generate_for(algorithm).map_err(|error| format!("cannot make a key: {error}"))?;
    write_key(file, key.serialize_pem().as_bytes())
}

/// Writes a file that is not there yet and that only its owner may read.
fn write_key(file: &Path, key: &[u8]) -> Result<ExitCode, String> {
    use std::os::unix::fs::OpenOptionsExt;
    let wrote = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(key));
    wrote.map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn dev_certificates(folder: &Path, names: &[String]) -> Result<ExitCode, String> {
    certificates::make(folder, names).map_err(|error| error.to_string())?;
    println!("{0}: tls.crt and tls.key for {1}; let browsers trust {0}/ca.crt", folder.display(), names.join(", "));
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn sample_workspace(port: u16) -> Result<ExitCode, String> {
    let home = std::env::var("HOME").ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let served = runtime.block_on(sample::serve(port, home));
    served.map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
