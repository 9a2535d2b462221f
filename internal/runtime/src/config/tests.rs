//! Every layer, and every trap that a silent conversion would set.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pump {
    workers: Count,
    names: List<std::net::SocketAddr>,
    limits: Limits,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    body: SizeLimit,
    patience: Period,
}

impl Default for Pump {
    fn default() -> Self {
        Self {
            workers: Count::of(1),
            names: List::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: SizeLimit(Some(512_000)),
            patience: Period::secs(30),
        }
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn from_file(text: &str) -> Result<Pump, String> {
    let file = file(text);
    let loaded = Layers::new()
        .file(Some(file.path().to_owned()))
        .load::<Pump>();
    let path = file.path().display().to_string();
    loaded
        .map(|loaded| loaded.settings)
        .map_err(|error| error.to_string().replace(&path, "pump.toml"))
}

fn from_environment(name: &str, value: &str) -> Result<Pump, String> {
    let variables = [(name.into(), value.into())];
    let loaded = Layers::new()
        .environment("PUMP_", variables, &["PUMP_CONFIG"])
        .and_then(Layers::load::<Pump>);
    loaded
        .map(|loaded| loaded.settings)
        .map_err(|error| error.to_string())
}

#[test]
fn each_layer_is_above_the_one_before() {
    let file = file("workers = 2\n[limits]\nbody = 1\npatience = '1s'\n");
    let variables = [
        ("PUMP_LIMITS__BODY".into(), "2KiB".into()),
        ("PUMP_LIMITS__PATIENCE".into(), "2s".into()),
    ];
    let layers = Layers::new()
        .file(Some(file.path().to_owned()))
        .environment("PUMP_", variables, &[])
        .unwrap();
    let pump: Pump = layers
        .flag("limits.patience", "--patience", Some("3s"))
        .load()
        .unwrap()
        .settings;
    let limits = Limits {
        body: SizeLimit(Some(2048)),
        patience: Period::secs(3),
    };
    assert_eq!(
        pump,
        Pump {
            workers: Count::of(2),
            limits,
            ..Pump::default()
        }
    );
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(
        Layers::new().load::<Pump>().unwrap().settings,
        Pump::default()
    );
    assert_eq!(
        from_environment("PUMP_LIMITS__BODY", "").unwrap(),
        Pump::default()
    );
    assert_eq!(
        from_environment("PUMP_CONFIG", "someone else's").unwrap(),
        Pump::default()
    );
}

#[test]
fn what_is_printed_reads_back_as_the_same_settings() {
    let limits = Limits {
        body: SizeLimit(None),
        patience: Period(std::time::Duration::from_millis(1500)),
    };
    let names = List(vec!["127.0.0.1:1".parse().unwrap()]);
    let pump = Pump {
        workers: Count::of(7),
        names,
        limits,
    };
    assert_eq!(from_file(&to_toml(&pump).unwrap()).unwrap(), pump);
}

#[test]
fn a_list_is_an_array_or_words_with_commas() {
    let both = List(vec![
        "127.0.0.1:1".parse().unwrap(),
        "[::1]:2".parse().unwrap(),
    ]);
    assert_eq!(
        from_file("names = ['127.0.0.1:1', '[::1]:2']")
            .unwrap()
            .names,
        both
    );
    assert_eq!(
        from_environment("PUMP_NAMES", "127.0.0.1:1, [::1]:2")
            .unwrap()
            .names,
        both
    );
}

#[test]
fn a_size_is_exact_when_written() {
    for (bytes, text) in [
        (512_000, "500KiB"),
        (0, "0"),
        (1_000_000, "1MB"),
        (1_048_576, "1MiB"),
        (1023, "1023"),
    ] {
        assert_eq!(Size(bytes).to_string(), text);
        assert_eq!(text.parse(), Ok(Size(bytes)));
    }
}

#[test]
fn a_bad_value_is_one_line_with_field_origin_and_fix() {
    let cases = [
        (
            from_file("workers = 2.7"),
            "workers (in pump.toml, line 1): invalid type: floating point `2.7`, expected a whole number from 1 to 4294967295",
        ),
        (
            from_file("workers = true"),
            "workers (in pump.toml, line 1): invalid type: boolean `true`, expected a whole number from 1 to 4294967295",
        ),
        (
            from_file("workers = 0"),
            "workers (in pump.toml, line 1): \"0\" is not such a number; write a whole number from 1 to 4294967295",
        ),
        (
            from_file("[limits]\npatience = 30"),
            "limits.patience (in pump.toml, line 2): write a number with its unit, such as 30s, 500ms or 2m, not the bare number 30",
        ),
        (
            from_file("names = ['here']"),
            "names (in pump.toml, line 1): invalid socket address syntax; write an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
        ),
        (
            from_environment("PUMP_LIMITS__BODY", "9 parsecs"),
            "limits.body (from PUMP_LIMITS__BODY): \"9 parsecs\" is not a size; write a number of bytes, such as 512000, 500KiB or 16MiB, or unlimited",
        ),
        (
            from_file("[limits]\nbodi = 3"),
            "limits.bodi (in pump.toml, line 2): unknown field `bodi`, expected `body` or `patience`",
        ),
        (
            from_environment("PUMP_LIMITS_BODY", "3"),
            "limits_body (from PUMP_LIMITS_BODY): unknown field `limits_body`, expected one of `workers`, `names`, `limits`",
        ),
        (
            from_file("workers = 2\nbody = \n"),
            "pump.toml is not valid TOML: at line 2, column 8: string values must be quoted, expected literal string",
        ),
    ];
    for (outcome, complaint) in cases {
        assert_eq!(outcome.unwrap_err(), complaint);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Layers::new()
        .file(Some("/nowhere/pump.toml".into()))
        .load::<Pump>()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the configuration file /nowhere/pump.toml: No such file")
    );
}

#[test]
fn a_complaint_about_the_whole_names_where_the_field_came_from() {
    let file = file("workers = 2");
    let layers =
        Layers::new()
            .file(Some(file.path().to_owned()))
            .flag("limits.body", "--max-body", Some(5));
    let loaded = layers.load::<Pump>().unwrap();
    assert_eq!(
        loaded.fault("limits.body", "too small").to_string(),
        "limits.body (from --max-body): too small"
    );
    assert_eq!(
        loaded.fault("limits.patience", "short").to_string(),
        "limits.patience (the default): short"
    );
    assert!(
        loaded
            .fault("workers", "too many")
            .to_string()
            .contains(&file.path().display().to_string())
    );
}

/// Settings of the pumps of one house, which have a table each.
fn house(text: &str, name: &str) -> Result<Pump, String> {
    let file = file(text);
    let path = file.path().display().to_string();
    let loaded = Document::read(file.path()).and_then(|document| {
        Layers::new()
            .section(&document, "pumps", name)
            .load::<Pump>()
    });
    loaded
        .map(|loaded| loaded.settings)
        .map_err(|error| error.to_string().replace(&path, "house.toml"))
}

const HOUSE: &str = "workers = 2
[limits]
patience = '1s'

[pumps.cellar]
workers = 3
[pumps.cellar.limits]
body = 7

[pumps.attic]
workers = 0
";

#[test]
fn a_section_is_above_the_top_of_its_file_field_by_field() {
    let cellar = house(HOUSE, "cellar").unwrap();
    assert_eq!(cellar.workers, Count::of(3));
    assert_eq!(cellar.limits.patience, Period::secs(1));
    assert_eq!(cellar.limits.body, SizeLimit(Some(7)));
}

#[test]
fn a_complaint_about_a_section_names_the_line_of_the_field_wherever_it_stands() {
    let wrong = "\"0\" is not such a number; write a whole number from 1 to 4294967295";
    assert_eq!(
        house(HOUSE, "attic").unwrap_err(),
        format!("pumps.attic.workers (in house.toml, line 11): {wrong}")
    );
    let common = HOUSE.replace("= 2", "= 0").replace("workers = 3", "");
    assert_eq!(
        house(&common, "cellar").unwrap_err(),
        format!("workers (in house.toml, line 1): {wrong}")
    );
    let unknown = HOUSE.replace("body = 7", "bodi = 7");
    assert!(
        house(&unknown, "cellar")
            .unwrap_err()
            .starts_with("pumps.cellar.limits.bodi (in house.toml, line 8): unknown field `bodi`")
    );
}

#[test]
fn the_sections_of_a_file_come_in_its_order_and_each_is_a_table() {
    let tables = |text: &str| {
        let file = file(text);
        let path = file.path().display().to_string();
        let tables = Document::read(file.path()).and_then(|document| document.tables("pumps"));
        tables.map_err(|error| error.to_string().replace(&path, "house.toml"))
    };
    assert_eq!(tables(HOUSE).unwrap(), ["cellar", "attic"]);
    assert_eq!(tables("workers = 1").unwrap(), Vec::<String>::new());
    assert_eq!(
        tables("pumps = 3").unwrap_err(),
        "pumps (in house.toml, line 1): found a single value; write [pumps.NAME] and the settings below it"
    );
    assert_eq!(
        tables("[pumps]\ncellar = 'x'").unwrap_err(),
        "pumps.cellar (in house.toml, line 2): found a text; write [pumps.cellar] and the settings below it"
    );
    let twice = tables("[pumps.a]\n[pumps.a]\n").unwrap_err();
    assert!(
        twice.contains("line 2") && twice.contains("duplicate key"),
        "{twice}"
    );
}

#[test]
fn what_is_missing_in_a_section_is_missed_at_its_head() {
    let file = file(HOUSE);
    let document = Document::read(file.path()).unwrap();
    let loaded = Layers::new()
        .section(&document, "pumps", "cellar")
        .load::<Pump>()
        .unwrap();
    let path = file.path().display();
    assert_eq!(
        loaded.fault("names", "there are none").to_string(),
        format!("pumps.cellar.names (in {path}, line 5): there are none")
    );
}
