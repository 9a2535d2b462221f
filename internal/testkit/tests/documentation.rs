//! What the documentation says is shown by a test is shown by one: `path.rs::name` in a page is a test of this tree.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a surprise fails, which is its job"
)]

use std::{fs, path::Path};

#[test]
fn every_test_that_a_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut named = 0;
    for page in fs::read_dir(root.join("docs")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for (file, name) in text.split('`').filter_map(|word| word.split_once(".rs::")) {
            named += 1;
            let source = fs::read_to_string(root.join(format!("{file}.rs")));
            let source =
                source.unwrap_or_else(|error| panic!("{}: {file}.rs: {error}", page.display()));
            let found = is_test(&source, name);
            assert!(found, "{}: {file}.rs has no test {name}", page.display());
        }
    }
    assert!(named > 80, "the pages name tests: {named}");
}

/// Whether `source` has a function of that name right behind a line that makes it a test.
fn is_test(source: &str, name: &str) -> bool {
    let heads = [format!("fn {name}()"), format!("async fn {name}()")];
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let attribute = pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
        attribute && heads.iter().any(|head| pair[1].starts_with(head))
    })
}
