//! Every vector of `vectors/`, through the public API: one file a case, with its expectation.

mod common;

use std::fs;

use common::{
    compress,
    recipe::{Recipe, verify_whole},
    vector::{Expectation, Vector},
};
use earmark_manifest::{
    channel::Channel, declaration::Declaration, envelope::Envelope, grant::Grant,
    statement::Statement, tree, trust::Trust,
};

/// Number of vectors of each kind. A vector that gets lost, or is not run, is noticed here.
const COUNTS: [(&str, usize); 8] = [
    ("channel", 62),
    ("declaration", 114),
    ("envelope", 53),
    ("grant", 47),
    ("seal", 47),
    ("statement", 82),
    ("tree", 180),
    ("trust", 72),
];

#[test]
fn test_vector_directories_match_the_known_list() {
    let mut found: Vec<String> = fs::read_dir(common::file("vectors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, COUNTS.map(|(kind, _)| kind));
}

#[test]
fn channel_vectors() {
    run("channel", |vector| {
        outcome(Channel::parse(&vector.input).map(|_| ()))
    });
}

#[test]
fn declaration_vectors() {
    run("declaration", |vector| {
        outcome(Declaration::parse(&vector.input).map(|_| ()))
    });
}

#[test]
fn envelope_vectors() {
    run("envelope", |vector| {
        outcome(Envelope::parse(&vector.input).map(|_| ()))
    });
}

#[test]
fn grant_vectors() {
    run("grant", |vector| {
        outcome(Grant::parse(&vector.input).map(|_| ()))
    });
}

#[test]
fn seal_vectors() {
    run("seal", |vector| {
        let recipe = std::str::from_utf8(&vector.input).unwrap();
        let recipe: Recipe = toml::from_str(recipe).expect(&vector.name);
        recipe
            .make()
            .and_then(|(seal, trust)| verify_whole(seal, &trust))
    });
}

#[test]
fn statement_vectors() {
    run("statement", |vector| {
        outcome(Statement::parse(&vector.input).map(|_| ()))
    });
}

#[test]
fn tree_vectors() {
    run("tree", |vector| {
        let stored = if vector.is_stored {
            vector.input.clone()
        } else {
            compress(&vector.input)
        };
        outcome(
            tree::read(&stored).and_then(|mut tree| tree.try_for_each(|entry| entry.map(|_| ()))),
        )
    });
}

#[test]
fn trust_vectors() {
    run("trust", |vector| {
        outcome(Trust::parse(&vector.input).map(|_| ()))
    });
}

fn outcome<E: std::fmt::Display>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

fn run(kind: &str, read: impl Fn(&Vector) -> Result<(), String>) {
    let vectors = Vector::all(kind);
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|vector| vector.check(read(vector)).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let controls = vectors
        .iter()
        .filter(|vector| vector.expect == Expectation::Accepted)
        .count();
    assert!(controls > 0, "{kind}: no accepted control");
    let expected = COUNTS.iter().find(|(of, _)| *of == kind).unwrap().1;
    assert_eq!(vectors.len(), expected, "{kind}: vectors");
}
