//! `adit files`: a folder as a service that `adit` itself answers with.

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};

use ::files::Folder;

use crate::args::Files;
use crate::local::{Local, LocalBody, Visitor};
use crate::publish;
use crate::settings::{Settings, Variable};

impl Local for Folder {
    fn http(&self, request: Request<LocalBody>, _: Visitor) -> BoxFuture<'_, Response<LocalBody>> {
        self.answer(&request).boxed()
    }
}

/// Runs `adit files …` until a signal, or until the agent must not go on.
pub(crate) fn run(
    files: &Files,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    let called = files.folder.display().to_string();
    publish::local(
        &files.publish,
        |layers| files.layers(layers),
        files.listen,
        &called,
        variables,
        |settings, _, _| folder(files, settings),
    )
}

fn folder(files: &Files, settings: &Settings) -> anyhow::Result<Folder> {
    let folder = Folder::new(&files.folder, settings.files.clone());
    folder.with_context(|| format!("cannot serve the folder {}", files.folder.display()))
}
