//! The fuzz targets over their committed corpora, without a fuzzer.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn every_input_of_the_corpora_is_tried_again() {
    for (name, target) in rmail_fuzz::TARGETS {
        let inputs = entries(&fuzz().join("corpus").join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let names: Vec<String> = rmail_fuzz::TARGETS
        .iter()
        .map(|(name, _)| String::from(*name))
        .collect();
    let listed = |folder: &str| -> Vec<String> {
        let paths = entries(&fuzz().join(folder)).into_iter();
        let stems = paths.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
        stems.collect()
    };
    assert_eq!(listed("targets"), names);
    assert_eq!(listed("corpus"), names);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        let lines = [
            format!("name = \"{name}\"\n"),
            format!("path = \"targets/{name}.rs\"\n"),
        ];
        let is_listed = lines.iter().all(|line| manifest.contains(line));
        assert!(is_listed, "{name} is not in Cargo.toml");
    }
}
