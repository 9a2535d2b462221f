//! What visitors of a folder get, asked as they ask.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderName;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;
use crate::{Config, Folder};

/// Long ago, so that tags are strong.
const THEN: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

struct Site {
    dir: TempDir,
    folder: Folder,
}

/// What came, with its body read.
struct Came {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: HeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A folder with these files, at `site` in a folder of its own, served so.
fn site(files: &[(&str, &str)], config: Config) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("site");
    fs::create_dir(&root).unwrap();
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .unwrap();
    }
    let folder = Folder::new(root, config).unwrap();
    Site { dir, folder }
}

fn plain(files: &[(&str, &str)]) -> Site {
    site(files, Config::default())
}

impl Site {
    async fn ask(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Came {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let (head, body) = self
            .folder
            .answer(&request.body(()).unwrap())
            .await
            .into_parts();
        Came {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Came {
        self.ask(Method::GET, path, &[]).await
    }

    async fn get_if(&self, path: &str, name: HeaderName, value: &str) -> Came {
        self.ask(Method::GET, path, &[(name, value)]).await
    }
}

#[tokio::test]
async fn a_file_comes_with_its_type_its_length_and_its_version() {
    let site = plain(&[
        ("a b.html", "<p>hello"),
        ("x.bin", "x"),
        ("noext", "y"),
        ("p.PNG", "z"),
    ]);
    let came = site.get("/a%20b.html").await;
    assert_eq!((came.status, came.text()), (200, "<p>hello"));
    assert_eq!(came.header(CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(came.header(CONTENT_LENGTH), "8");
    assert_eq!(came.header(LAST_MODIFIED), THEN);
    assert_eq!(came.header(ACCEPT_RANGES), "bytes");
    assert_eq!(came.header(X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(came.header(ETAG).starts_with('"'));
    for (path, kind) in [
        ("/x.bin", "application/octet-stream"),
        ("/noext", "application/octet-stream"),
        ("/p.PNG", "image/png"),
    ] {
        assert_eq!(site.get(path).await.header(CONTENT_TYPE), kind);
    }
    assert_eq!(
        site.get("/x.bin?v=2").await.text(),
        "x",
        "a query is nothing to a file"
    );
    assert_eq!(site.get("/absent").await.status, 404);
    assert_eq!(site.get("/x.bin/").await.status, 404);
    assert_eq!(site.get("/x.bin/y").await.status, 404);
}

#[tokio::test]
async fn head_is_get_without_the_body_and_other_methods_are_not_allowed() {
    let site = plain(&[("a.txt", "hello"), ("index.html", "home")]);
    for path in ["/a.txt", "/", "/absent"] {
        let (get, head) = (
            site.get(path).await,
            site.ask(Method::HEAD, path, &[]).await,
        );
        assert_eq!(
            (get.status, get.headers),
            (head.status, head.headers),
            "{path}"
        );
        assert!(head.body.is_empty());
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let came = site.ask(method, "/a.txt", &[]).await;
        assert_eq!((came.status, came.header(ALLOW)), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn a_part_of_a_file_comes_alone() {
    let long = "abcdefghijklmnopqrstuvwxyz".repeat(8_000);
    let site = plain(&[("a.txt", "0123456789"), ("long", &long), ("empty", "")]);
    let came = site.get_if("/a.txt", RANGE, "bytes=2-4").await;
    assert_eq!((came.status, came.text()), (206, "234"));
    assert_eq!(came.header(CONTENT_RANGE), "bytes 2-4/10");
    assert_eq!(came.header(CONTENT_LENGTH), "3");
    let came = site.get_if("/long", RANGE, "bytes=1-150000").await;
    assert_eq!(
        (came.status, came.body == long.as_bytes()[1..=150_000]),
        (206, true)
    );
    assert_eq!(site.get("/long").await.text(), long);
    for (path, range, total) in [("/a.txt", "bytes=10-", 10), ("/empty", "bytes=0-", 0)] {
        let came = site.get_if(path, RANGE, range).await;
        assert_eq!(came.status, 416);
        assert_eq!(came.header(CONTENT_RANGE), format!("bytes */{total}"));
    }
    for range in ["bytes=0-1,3-4", "bytes=x", "pages=1-2"] {
        let came = site.get_if("/a.txt", RANGE, range).await;
        assert_eq!((came.status, came.text()), (200, "0123456789"), "{range}");
    }
    let head = site
        .ask(Method::HEAD, "/a.txt", &[(RANGE, "bytes=0-1")])
        .await;
    assert_eq!((head.status, head.header(CONTENT_LENGTH)), (200, "10"));
    assert_eq!(site.get("/empty").await.header(CONTENT_LENGTH), "0");
}

#[tokio::test]
async fn who_has_the_version_that_is_here_is_not_sent_it_again() {
    let site = plain(&[("a.txt", "hello")]);
    let tag = site.get("/a.txt").await.header(ETAG).to_owned();
    let weak = format!("W/{tag}");
    let several = format!("\"other\", {tag}");
    let later = "Sun, 09 Sep 2001 01:46:41 GMT";
    for (name, value, status) in [
        (IF_NONE_MATCH, tag.as_str(), 304),
        (IF_NONE_MATCH, &weak, 304),
        (IF_NONE_MATCH, &several, 304),
        (IF_NONE_MATCH, "*", 304),
        (IF_NONE_MATCH, "\"other\"", 200),
        (IF_MODIFIED_SINCE, THEN, 304),
        (IF_MODIFIED_SINCE, later, 304),
        (IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT", 200),
        (IF_MODIFIED_SINCE, "yesterday", 200),
        (IF_MATCH, &tag, 200),
        (IF_MATCH, "*", 200),
        (IF_MATCH, &weak, 412),
        (IF_MATCH, "\"other\"", 412),
        (IF_UNMODIFIED_SINCE, THEN, 200),
        (IF_UNMODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT", 412),
    ] {
        let came = site.get_if("/a.txt", name.clone(), value).await;
        assert_eq!(came.status, status, "{name}: {value}");
        if status == 304 {
            assert_eq!((came.body.len(), came.header(ETAG)), (0, tag.as_str()));
        }
    }
    // A tag is above a date (section 13.1.3).
    let both = [(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, THEN)];
    assert_eq!(site.ask(Method::GET, "/a.txt", &both).await.status, 200);
}

#[tokio::test]
async fn a_download_goes_on_only_with_the_version_that_it_began_with() {
    let site = plain(&[("a.txt", "0123456789")]);
    let tag = site.get("/a.txt").await.header(ETAG).to_owned();
    for (condition, status) in [
        (tag.as_str(), 206),
        (THEN, 206),
        ("\"other\"", 200),
        ("W/\"x\"", 200),
        ("junk", 200),
    ] {
        let headers = [(RANGE, "bytes=5-"), (IF_RANGE, condition)];
        assert_eq!(
            site.ask(Method::GET, "/a.txt", &headers).await.status,
            status,
            "{condition}"
        );
    }
    let other = "0123456789 and more";
    fs::write(site.folder.root().join("a.txt"), other).unwrap();
    let came = site
        .ask(
            Method::GET,
            "/a.txt",
            &[(RANGE, "bytes=5-"), (IF_RANGE, &tag)],
        )
        .await;
    assert_eq!((came.status, came.text()), (200, other));
    assert!(
        came.header(ETAG).starts_with("W/"),
        "it may be written to within the same tick"
    );
}

#[tokio::test]
async fn a_folder_is_its_index_under_a_path_with_a_slash() {
    let config = Config {
        index: vec!["index.html".to_owned(), "readme.txt".to_owned()],
        ..Config::default()
    };
    let site = site(
        &[
            ("index.html", "home"),
            ("docs/readme.txt", "docs"),
            ("a:b/c/index.html", "x"),
        ],
        config,
    );
    assert_eq!(site.get("/").await.text(), "home");
    let came = site.get("/docs/").await;
    assert_eq!((came.status, came.text()), (200, "docs"));
    assert_eq!(came.header(CONTENT_TYPE), "text/plain; charset=utf-8");
    for (path, to) in [
        ("/docs", "./docs/"),
        ("/docs?x=1", "./docs/?x=1"),
        ("/a:b/c", "./c/"),
        ("/a:b", "./a:b/"),
    ] {
        let came = site.get(path).await;
        assert_eq!((came.status, came.header(LOCATION)), (308, to));
    }
    assert_eq!(
        site.get("/a:b/").await.status,
        404,
        "names are not listed unless that is wanted"
    );
}

#[tokio::test]
async fn a_listing_shows_what_is_served_and_nothing_that_is_markup() {
    let config = Config {
        listing: true,
        ..Config::default()
    };
    let site = site(
        &[
            ("b.txt", ""),
            ("<i>&\"'.txt", ""),
            ("sub/x", ""),
            (".secret", ""),
            ("ä b", ""),
        ],
        config,
    );
    symlink("b.txt", site.folder.root().join("link")).unwrap();
    let page = site.get("/").await;
    assert_eq!(page.header(CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(page.header(CONTENT_SECURITY_POLICY), "default-src 'none'");
    let links: Vec<_> = page
        .text()
        .lines()
        .filter(|line| line.starts_with("<li>"))
        .collect();
    assert_eq!(
        links,
        [
            "<li><a href=\"./sub/\">sub/</a>",
            "<li><a href=\"./%3Ci%3E%26%22%27.txt\">&lt;i&gt;&amp;&quot;&#39;.txt</a>",
            "<li><a href=\"./b.txt\">b.txt</a>",
            "<li><a href=\"./%C3%A4%20b\">ä b</a>",
        ]
    );
    assert!(site.get("/sub/").await.text().contains("<a href=\"../\">"));
    let head = site.ask(Method::HEAD, "/", &[]).await;
    assert_eq!(head.header(CONTENT_LENGTH), page.body.len().to_string());
    assert_eq!(site.get("/%3Ci%3E%26%22%27.txt").await.status, 200);
}

#[tokio::test]
async fn no_link_is_followed_and_nothing_outside_is_reached() {
    let site = plain(&[("in/a.txt", "inside"), ("in/.env", "hidden")]);
    fs::write(site.dir.path().join("secret.txt"), "secret").unwrap();
    let root = site.folder.root();
    symlink("in/a.txt", root.join("file-link")).unwrap();
    symlink("in", root.join("folder-link")).unwrap();
    symlink("../secret.txt", root.join("out")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink(site.dir.path(), root.join("absolute")).unwrap();
    assert_eq!(site.get("/in/a.txt").await.text(), "inside");
    for path in [
        "/file-link",
        "/folder-link/a.txt",
        "/folder-link/",
        "/folder-link",
        "/out",
        "/up/secret.txt",
        "/absolute/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/in/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/in/.env",
        "//secret.txt",
    ] {
        let came = site.get(path).await;
        assert_eq!(came.status, 404, "{path}");
        assert!(!came.text().contains("secret"), "{path}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn links_are_followed_where_that_is_wanted_as_far_as_the_folder_goes() {
    let config = Config {
        symlinks: true,
        listing: true,
        ..Config::default()
    };
    let site = site(
        &[("in/a.txt", "inside"), ("deep/index.html", "deep")],
        config,
    );
    fs::write(site.dir.path().join("secret.txt"), "secret").unwrap();
    let root = site.folder.root();
    symlink("in/a.txt", root.join("file-link")).unwrap();
    symlink("../in", root.join("deep/up-and-in")).unwrap();
    symlink("../secret.txt", root.join("out")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for path in ["/file-link", "/deep/up-and-in/a.txt", "/in/a.txt"] {
        let came = site.get(path).await;
        assert_eq!((came.status, came.text()), (200, "inside"), "{path}");
    }
    assert_eq!(site.get("/deep/").await.text(), "deep");
    assert!(site.get("/deep/up-and-in/").await.text().contains("a.txt"));
    for path in [
        "/out",
        "/etc/passwd",
        "/etc/",
        "/loop",
        "/deep/up-and-in/../../../secret.txt",
    ] {
        assert_eq!(site.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_opened_and_what_may_not_be_read_is_refused() {
    let site = plain(&[("locked", "x")]);
    let root = site.folder.root();
    let pipe = rustix::fs::CWD;
    rustix::fs::mkfifoat(pipe, root.join("pipe"), 0o600.into()).unwrap();
    assert_eq!(site.get("/pipe").await.status, 404);
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o0)).unwrap();
    // Who may do everything may read it.
    let readable = fs::read(root.join("locked")).is_ok();
    assert_eq!(
        site.get("/locked").await.status,
        if readable { 200 } else { 403 }
    );
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(site.get(&long).await.status, 404);
}

#[tokio::test]
async fn a_file_that_shrinks_under_a_visitor_ends_in_an_error_and_never_as_a_whole_one() {
    let site = plain(&[("long", &"x".repeat(300_000))]);
    let request = Request::builder().uri("/long").body(()).unwrap();
    let response = site.folder.answer(&request).await;
    let file = File::options()
        .write(true)
        .open(site.folder.root().join("long"))
        .unwrap();
    file.set_len(100_000).unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_folder_that_is_replaced_as_a_whole_is_found_again_and_one_that_is_gone_is_a_fault() {
    let site = plain(&[("a.txt", "old")]);
    let (root, aside) = (site.folder.root().to_owned(), site.dir.path().join("aside"));
    fs::rename(&root, &aside).unwrap();
    assert_eq!(site.get("/a.txt").await.status, 503);
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.txt"), "new").unwrap();
    assert_eq!(site.get("/a.txt").await.text(), "new");
    assert!(Folder::new(root.join("a.txt"), Config::default()).is_err());
    assert!(Folder::new(root.join("absent"), Config::default()).is_err());
}
