//! `docs/cli.md` is what clap prints, so that it cannot fall behind.

use std::path::Path;

use clap::CommandFactory;
use daygrain::cli::args::Cli;

/// The whole reference: every command's own help.
fn reference() -> String {
    let mut text = String::from(
        "# The command line\n\nMade from the binary's own help; `UPDATE_DOCS=1 cargo test cli_reference` writes it anew.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    let top = root.render_help().to_string();
    text.push_str(&format!("\n```text\n{}\n```\n", top.trim_end()));
    let names: Vec<String> = root
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names.iter().filter(|name| *name != "help") {
        let command = root.find_subcommand_mut(name).expect("it was just listed");
        let help = command.render_help().to_string();
        // The global options stand once, above.
        let own = help.split("\nGlobal options:").next().unwrap_or(&help);
        text.push_str(&format!(
            "\n## {name}\n\n```text\n{}\n```\n",
            own.trim_end()
        ));
    }
    text
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let expected = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, &expected).expect("the reference");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/cli.md is out of date: run `UPDATE_DOCS=1 cargo test cli_reference`"
    );
}
