//! schemathesis asks for everything that `/openapi.json` describes, well and badly: no answer may
//! be an error of the server's, and none may be outside the document.

use std::{path::Path, process::Command};

use rmail_tests::{
    daemon::{Daemon, Port},
    http::HttpClient,
};

use crate::{PASSWORD, is_installed, succeed, url};

/// An administrator, so that each operation is let in.
const ADMIN: &str = "admin@example.com";

/// What would take the token away that all requests bring; and second paths to endpoints that are
/// asked by their first.
const EXCLUDED: &str = concat!(
    r"^/auth/(logout|logout-all|password)$",
    r"|^/v1\.0/users/\{user\}/",
    r"|/mailFolders/\{folder\}/messages/\{message\}",
);

pub(crate) fn asks_for_everything(daemon: &Daemon) {
    if !is_installed("schemathesis") {
        return;
    }
    let input = format!("{PASSWORD}\n");
    let arguments = ["user", "add", ADMIN, "--admin", "--password-stdin"];
    let added = daemon.command(&arguments, &input);
    assert!(added.status.success(), "{added:?}");
    let token = HttpClient::new(daemon.door(Port::Http)).log_in(ADMIN, PASSWORD);
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.toml");
    let base = url(daemon, "http", Port::Http);
    let mut command = Command::new("schemathesis");
    command
        .current_dir(daemon.root().folder())
        .arg("--config-file")
        .arg(settings)
        .args(["run", &format!("{base}/openapi.json"), "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--exclude-path-regex", EXCLUDED]);
    succeed(&mut command, "");
}
