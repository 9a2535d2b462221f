//! What every version has in common (1 to 9, 18).

use http::Method;

use crate::stage::{OK, error, open, remote, told, with};

#[tokio::test]
async fn a_server_lives_under_its_directory_and_nothing_else_is_a_route() {
    let stage = with(&["--directory", "/bare/", "--no-block-local"]).await;
    for path in ["/", "/bare", "/other/v3/", "/barefoot/"] {
        let answer = stage.client.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (400, "Not found."),
            "{path}"
        );
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(stage.client.get("/bare/").await.status, 200);
    for path in [
        "/bare/v3",
        "/bare/v4/",
        "/bare//v3/",
        "/bare/v3/ws-meta",
        "/bare/x",
    ] {
        let answer = stage.client.get(path).await;
        assert_eq!(
            error(&answer),
            told(404, "UNKNOWN", "error.NotFoundError"),
            "{path}"
        );
        assert!(answer.text().contains("\"message\": \"Not Found\""));
    }
}

#[tokio::test]
async fn the_manifest_is_indented_by_tabs_and_the_same_for_every_method() {
    let flags = [
        "--maintainer-email",
        "me@example.org",
        "--maintainer-website",
        "https://me.example",
    ];
    let stage = with(&flags).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = stage.client.send(method, "/", "".into()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(
            answer
                .text()
                .starts_with("{\n\t\"versions\": [\n\t\t\"v1\",\n\t\t\"v2\",\n\t\t\"v3\"\n\t],\n")
        );
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["language"], "Rust");
        let memory = json["memoryUsage"].as_f64().unwrap();
        let hundredths = memory * 100.0;
        assert!(
            memory > 0.1 && (hundredths - hundredths.round()).abs() < 1e-6,
            "{memory}"
        );
        assert_eq!(json["maintainer"]["email"], "me@example.org");
        assert_eq!(json["maintainer"]["website"], "https://me.example");
        assert!(json["project"]["version"].is_string());
    }
    let head = stage.client.send(Method::HEAD, "/", "".into()).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn options_are_answered_on_any_path_with_nothing() {
    let stage = open().await;
    for path in ["/", "/v1/", "/v2/ws-meta", "/v3/?cache=1", "/unknown"] {
        let answer = stage.client.send(Method::OPTIONS, path, "".into()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, 0),
            "{path}"
        );
    }
}

#[tokio::test]
async fn pages_of_every_origin_may_read_every_response_and_robots_are_kept_away() {
    let stage = open().await;
    let (origin, _) = remote(OK).await;
    for answer in [
        stage.client.get("/").await,
        stage.client.get("/unknown").await,
        stage.client.get("/v3/").await,
        stage.client.send(Method::OPTIONS, "/v3/", "".into()).await,
        stage.v3(&origin, "/", "{}").await,
    ] {
        for (name, value) in [
            ("x-robots-tag", "noindex"),
            ("access-control-allow-headers", "*"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-expose-headers", "*"),
            ("access-control-max-age", "7200"),
        ] {
            assert_eq!(answer.headers[name], value, "{}", answer.status);
            assert_eq!(answer.headers.get_all(name).iter().count(), 1);
        }
    }
}

#[tokio::test]
async fn with_a_key_the_server_is_there_for_those_alone_who_have_it_and_lines_do_not_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "a-key-of-24-characters-x\n").unwrap();
    let flags = [
        "--access-key-file",
        file.to_str().unwrap(),
        "--no-block-local",
    ];
    let mut stage = with(&flags).await;
    let (origin, heard) = remote(OK).await;
    let url = format!("http://{}/", origin.addr);
    let fields = [("x-bare-url", &*url), ("x-bare-headers", "{}")];
    for path in ["/", "/v3/", "/wrong/v3/", "/a-key-of-24-characters-y/v3/"] {
        let answer = stage.client.get_with(path, &fields).await;
        assert_eq!(
            error(&answer),
            told(404, "UNKNOWN", "error.NotFoundError"),
            "{path}"
        );
    }
    assert!(heard.all().is_empty());
    let path = "/a-key-of-24-characters-x/v3/";
    assert_eq!(stage.client.get_with(path, &fields).await.text(), "hi");
    // The access log has the fetch, and no line has the key.
    stage
        .program
        .says(&format!("127.0.0.1 v3 GET {url} 200 "))
        .await;
    assert_eq!(stage.program.said("a-key-of-24"), 0);
}
