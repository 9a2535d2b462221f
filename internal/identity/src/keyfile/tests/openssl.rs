//! The real openssl reads what is written here, and what it writes is read.

use std::process::{Command, Output};

use super::*;

/// The output of the real openssl; none on a machine that has none.
fn openssl(arguments: &[&str], file: &Path) -> Option<Output> {
    let output = Command::new("openssl").args(arguments).arg(file).output();
    match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("no openssl on this machine: not compared with it");
            None
        }
        output => Some(output.expect("openssl starts")),
    }
}

#[test]
fn openssl_reads_the_key_file_and_sees_the_same_public_key() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let key = SecretKey::create_new(&path).unwrap();
    let Some(output) = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"], &path) else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.ends_with(key.public().as_bytes()));
}

#[test]
fn a_key_that_openssl_made_is_read() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let Some(made) = openssl(&["genpkey", "-algorithm", "ed25519", "-out"], &path) else {
        return;
    };
    assert!(made.status.success(), "{made:?}");
    set_mode(&path, 0o600);
    let key = SecretKey::load(&path).unwrap();
    let public = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"], &path).unwrap();
    assert!(public.stdout.ends_with(key.public().as_bytes()));
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

#[test]
fn openssl_opens_a_protected_key_file_with_its_passphrase_alone() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let key = SecretKey::create_new_protected(&path, &passphrase("open sesame")).unwrap();
    let public = |pass: &str| {
        let pass = format!("pass:{pass}");
        openssl(
            &[
                "pkey", "-pubout", "-outform", "DER", "-passin", &pass, "-in",
            ],
            &path,
        )
    };
    let Some(output) = public("open sesame") else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.ends_with(key.public().as_bytes()));
    assert!(!public("open barley").unwrap().status.success());
}

#[test]
fn a_key_that_openssl_protects_is_read() {
    let directory = directory();
    let path = directory.path().join("key.pem");
    let key = SecretKey::create_new(&path).unwrap();
    for how in [
        &["-v2", "aes-256-cbc"][..],
        &["-v2", "aes-128-cbc"],
        &["-scrypt"],
    ] {
        let protected = directory.path().join("protected.pem");
        let out = protected.to_str().unwrap();
        let mut arguments = vec![
            "pkcs8",
            "-topk8",
            "-passout",
            "pass:open sesame",
            "-out",
            out,
        ];
        arguments.extend(how);
        arguments.push("-in");
        let Some(output) = openssl(&arguments, &path) else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
        set_mode(&protected, 0o600);
        let read = SecretKey::load_protected(&protected, &passphrase("open sesame")).unwrap();
        assert_eq!(read.public(), key.public(), "{how:?}");
    }
}
