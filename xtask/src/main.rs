//! The one front door: `cargo xtask demo|test|bless|bench|grade|package|roots|exercise`. It needs a Rust
//! toolchain, and installs whatever else a task needs with apt, saying what and why.

mod apt;
mod architecture;
mod bench;
mod bless;
mod budget;
mod cross;
mod demo;
mod exercise;
mod files;
mod fuzz;
mod grade;
mod package;
mod prepare;
mod roots;
mod run;
mod test;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the Earmark workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that CI runs
    Test(test::Args),
    /// Renew the golden texts, and list which changed
    Bless,
    /// Bake, seal, verify, tamper and refuse on a small Debian root, step by step
    Demo,
    /// Measure verification side by side with other tools
    Bench(bench::Args),
    /// Have other tools grade a host that is locked down, and one that is not
    Grade(grade::Args),
    /// Build the .deb and .rpm packages, and print the directory they are in
    Package(package::Args),
    /// Make a real Debian root, once, and print where it is
    Roots {
        /// Which one
        #[arg(value_enum)]
        kind: roots::Kind,
    },
    /// Make what the tiers of the tests need that need root
    #[command(hide = true)]
    Prepare,
    /// Boot a copy of a root, run its packages' post-installation steps, and print where it is
    Exercise(exercise::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Test(args) => test::run(&args)?,
        Task::Bless => bless::run()?,
        Task::Demo => demo::run()?,
        Task::Bench(args) => bench::run(&args)?,
        Task::Grade(args) => grade::run(&args)?,
        Task::Package(args) => println!("{}", package::run(&args)?.display()),
        Task::Roots { kind } => println!("{}", roots::root(kind)?.display()),
        Task::Prepare => prepare::run()?,
        Task::Exercise(args) => println!("{}", exercise::run(args)?.display()),
    }
    Ok(())
}

/// The workspace that this program was built in.
fn workspace() -> Result<&'static Path> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    dir.context("xtask does not lie in a workspace")
}

/// Returns the directory of what tasks keep from one run to the next: roots, tools, results.
fn state_dir() -> Result<PathBuf> {
    Ok(workspace()?.join("target/earmark"))
}
