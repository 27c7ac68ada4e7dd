//! The deliberate bugs in `mutations/`, by which `mutations/run` tests the tests, must not rot.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate is in a workspace")
}

fn patches() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/mutations")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_patch = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "patch");
    let mut patches: Vec<PathBuf> = paths.filter(is_patch).collect();
    patches.sort();
    assert!(patches.len() > 20, "the patches are elsewhere");
    patches
}

#[test]
fn every_mutation_still_applies() {
    if !root().join(".git").exists() {
        eprintln!("not looked at: this is no git checkout");
        return;
    }
    let mut failures = Vec::new();
    for patch in patches() {
        let checked = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root())
            .output();
        let Ok(checked) = checked else {
            eprintln!("not looked at: git is not installed");
            return;
        };
        if !checked.status.success() {
            failures.push(String::from_utf8_lossy(&checked.stderr).into_owned());
        }
    }
    let remedy = "make these patches anew: the same bugs in the code as it is now";
    assert!(failures.is_empty(), "{remedy}\n{}", failures.join("\n"));
}

#[test]
fn every_mutation_says_what_is_broken_and_which_promise_that_violates() {
    for patch in patches() {
        let text = fs::read_to_string(&patch).unwrap();
        let (head, _) = text.split_once("\ndiff ").unwrap();
        for word in ["Broken: ", "Violates: "] {
            let says = head.lines().any(|line| line.starts_with(word));
            assert!(says, "{}: no {word:?}", patch.display());
        }
    }
}
