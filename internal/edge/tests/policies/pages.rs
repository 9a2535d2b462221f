//! What Adit says in its own pages when a policy stops a request.

use http::StatusCode;

use crate::{house::House, passwords};

#[tokio::test]
async fn a_browser_gets_a_page_and_a_program_a_problem() {
    let house = House::with(passwords::policy()).await;
    let page = house.get("/", &[("accept", "text/html")]).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(text.contains("A password is needed"), "{text}");
    let problem = house.get("/", &[]).await;
    let problem: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["code"], "password-required");
    assert_eq!(problem["hop"], "request");
}

#[tokio::test]
async fn a_refusal_repeats_no_byte_of_the_request() {
    let house = House::with(r#"{"https_only":true,"strip_prefix":"/api"}"#).await;
    let marker = "q7x3-marker";
    let fields = [
        ("accept", "text/html"),
        ("cookie", marker),
        ("x-forwarded-proto", "https"),
    ];
    let page = house.get(&format!("/{marker}?{marker}"), &fields).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(!String::from_utf8_lossy(&page.body).contains(marker));
}
