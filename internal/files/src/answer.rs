//! From a request's head to a response. Everything here may block on the disk.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use headers::{AcceptRanges, ContentLength, ContentRange, HeaderMapExt as _};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use mime_guess::mime;

use crate::body::{self, FileBody};
use crate::conditions::{Judgement, Version};
use crate::folder::Site;
use crate::open::{Found, Place, is_absent};
use crate::path::Names;
use crate::{listing, range};

/// What of a request an answer depends on.
pub(crate) struct Asked {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            headers: request.headers().clone(),
        }
    }
}

pub(crate) fn answer(site: &Site, asked: &Asked) -> Response<FileBody> {
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let root = match Place::root(&site.root, site.config.symlinks) {
        Ok(root) => root,
        Err(error) => {
            tracing::warn!(folder = %site.root.display(), %error, "the folder cannot be opened");
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let answered = Names::of(&asked.path, site.config.dotfiles).map_or_else(
        || Ok(status(StatusCode::NOT_FOUND)),
        |names| find(site, asked, root, names),
    );
    let response = answered.unwrap_or_else(|error| refused(&error));
    match asked.method {
        Method::HEAD => response.map(|_| body::full("")),
        _ => response,
    }
}

fn find(site: &Site, asked: &Asked, root: Place, names: Names) -> io::Result<Response<FileBody>> {
    let folder = names.folder;
    let last = names.names.last().cloned();
    match root.find(names.names)? {
        Some(Found::File(file, metadata)) if !folder => {
            self::file(asked, file, &metadata, last.as_deref().unwrap_or_default())
        }
        Some(Found::Folder(_)) if !folder => Ok(moved(asked)),
        Some(Found::Folder(place)) => self::folder(site, asked, &place),
        Some(Found::File(..)) | None => Ok(status(StatusCode::NOT_FOUND)),
    }
}

fn folder(site: &Site, asked: &Asked, place: &Place) -> io::Result<Response<FileBody>> {
    for name in &site.config.index {
        if let Some((file, metadata)) = place.file(OsStr::new(name))? {
            return self::file(asked, file, &metadata, OsStr::new(name));
        }
    }
    if !site.config.listing {
        return Ok(status(StatusCode::NOT_FOUND));
    }
    let title = percent_encoding::percent_decode_str(&asked.path).decode_utf8_lossy();
    let page = listing::page(place, &title, site.config.dotfiles, site.config.symlinks)?;
    let mut response = Response::new(body::full(""));
    let headers = response.headers_mut();
    headers.typed_insert(ContentLength(page.len() as u64));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Names are a stranger's words.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'"),
    );
    Ok(response.map(|_| body::full(page)))
}

/// The same folder with the slash that makes its relative links right. Relative itself: whoever published the folder may have
/// put it under another path.
fn moved(asked: &Asked) -> Response<FileBody> {
    let mut to = listing::as_folder(&asked.path);
    if let Some(query) = &asked.query {
        to.push('?');
        to.push_str(query);
    }
    let mut response = status(StatusCode::PERMANENT_REDIRECT);
    if let Ok(to) = HeaderValue::from_str(&to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn file(
    asked: &Asked,
    file: File,
    metadata: &Metadata,
    name: &OsStr,
) -> io::Result<Response<FileBody>> {
    let version = Version::of(metadata, SystemTime::now());
    let length = metadata.len();
    let mut response = match version.judge(&asked.headers) {
        Judgement::Failed => return Ok(status(StatusCode::PRECONDITION_FAILED)),
        Judgement::NotModified => {
            let mut response = Response::new(body::full(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Judgement::Go => match part(asked, &version, length) {
            range::Asked::Unsatisfiable => {
                let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
                let range = ContentRange::unsatisfied_bytes(length);
                response.headers_mut().typed_insert(range);
                return Ok(response);
            }
            part => content(asked, file, name, length, &part)?,
        },
    };
    let headers = response.headers_mut();
    headers.typed_insert(AcceptRanges::bytes());
    version
        .etag
        .iter()
        .for_each(|etag| headers.typed_insert(etag.clone()));
    version
        .last_modified()
        .into_iter()
        .for_each(|at| headers.typed_insert(at));
    Ok(response)
}

/// Which bytes are asked for. Ranges are a matter of GET alone (RFC 9110 section 14.2).
fn part(asked: &Asked, version: &Version, length: u64) -> range::Asked {
    match asked.headers.get(RANGE) {
        Some(range) if asked.method == Method::GET && version.allows_part(&asked.headers) => {
            range::Asked::of(range, length)
        }
        _ => range::Asked::Whole,
    }
}

fn content(
    asked: &Asked,
    file: File,
    name: &OsStr,
    whole: u64,
    part: &range::Asked,
) -> io::Result<Response<FileBody>> {
    let (first, length) = match *part {
        range::Asked::Part { first, length } => (first, length),
        range::Asked::Whole | range::Asked::Unsatisfiable => (0, whole),
    };
    let mut response = Response::new(match asked.method {
        Method::HEAD => body::full(""),
        _ => body::part(file, first, length)?,
    });
    if let range::Asked::Part { first, length } = *part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = ContentRange::bytes(first..first + length, whole);
        let range = range.expect("it has at least one byte, and the file has it");
        response.headers_mut().typed_insert(range);
    }
    let headers = response.headers_mut();
    headers.typed_insert(ContentLength(length));
    headers.insert(CONTENT_TYPE, kind(name));
    // A file is what its name says, and no browser is to find a page in a picture.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The type that a name says. Text is taken for UTF-8.
fn kind(name: &OsStr) -> HeaderValue {
    let kind = mime_guess::from_path(Path::new(name)).first_or_octet_stream();
    let text = match (kind.type_(), kind.get_param(mime::CHARSET)) {
        (mime::TEXT, None) => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// What could not be opened or read.
fn refused(error: &io::Error) -> Response<FileBody> {
    if is_absent(error) {
        return status(StatusCode::NOT_FOUND);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return status(StatusCode::FORBIDDEN);
    }
    tracing::warn!(%error, "a file cannot be read");
    status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A response of one line, which only says its status.
pub(crate) fn status(code: StatusCode) -> Response<FileBody> {
    let line = format!("{code}\n");
    let mut response = Response::new(body::full(""));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.typed_insert(ContentLength(line.len() as u64));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response.map(|_| body::full(line))
}

#[cfg(test)]
mod tests;
