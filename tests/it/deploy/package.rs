//! The Debian package: built from the binary of the tests, looked at, and unpacked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bellwire::config::{Environment, load};

use super::tools::said;
use super::{root, text, version};

/// What must be in it, with its rights.
const FILES: [(&str, &str); 15] = [
    ("./usr/bin/bellwire", "-rwxr-xr-x"),
    ("./lib/systemd/system/bellwire.service", "-rw-r--r--"),
    ("./etc/bellwire/bellwire.toml", "-rw-r-----"),
    ("./usr/share/bash-completion/completions/bellwire", "-rw-r--r--"),
    ("./usr/share/zsh/vendor-completions/_bellwire", "-rw-r--r--"),
    ("./usr/share/fish/vendor_completions.d/bellwire.fish", "-rw-r--r--"),
    ("./usr/share/man/man1/bellwire.1.gz", "-rw-r--r--"),
    ("./usr/share/man/man1/bellwire-serve.1.gz", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/copyright", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/changelog.gz", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/CHANGELOG.md.gz", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/sbom.json.gz", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/examples/bellwire.toml", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/examples/nginx.conf", "-rw-r--r--"),
    ("./usr/share/doc/bellwire/examples/haproxy.cfg", "-rw-r--r--"),
];

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(root()).output().unwrap()
}

/// What it says; it must succeed.
#[track_caller]
fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn build(folder: &Path) -> PathBuf {
    let output = Command::new(root().join("scripts/deb"))
        .arg(env!("CARGO_BIN_EXE_bellwire"))
        .arg(folder)
        // Time, not size, counts here.
        .env("DEB_COMPRESSION", "none")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let made = std::fs::read_dir(folder).unwrap().flatten().map(|file| file.path());
    made.into_iter().find(|path| path.extension().is_some_and(|it| it == "deb")).expect("a package")
}

/// What is wrong with the contents, as `dpkg-deb -c` lists them.
fn content_faults(listing: &str) -> Vec<String> {
    let lines = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let files: BTreeMap<&str, (&str, &str)> = lines.map(|it| (it[5], (it[0], it[1]))).collect();
    let mut faults = Vec::new();
    for (path, rights) in FILES {
        match files.get(path) {
            None => faults.push(format!("{path} is missing")),
            Some((found, _)) if *found != rights => faults.push(format!("{path} is {found}")),
            Some(_) => {}
        }
    }
    let strange = files.iter().filter(|(_, (_, owner))| *owner != "root/root");
    faults.extend(strange.map(|(path, (_, owner))| format!("{path} is {owner}'s")));
    let secret = files.keys().filter(|path| path.contains("secrets") || path.contains(".git"));
    faults.extend(secret.map(|path| format!("{path} has no place in it")));
    faults
}

/// What is wrong with what it says of itself, as `dpkg-deb -I` shows it.
fn control_faults(control: &str) -> Vec<String> {
    let has = |line: &str| control.lines().any(|it| it.trim() == line);
    let wanted = [
        "Package: bellwire".to_owned(),
        format!("Version: {}", version()),
        "Depends: adduser, libc6 (>= 2.36), libgcc-s1".to_owned(),
        "Recommends: ca-certificates, postgresql-15 | postgresql".to_owned(),
    ];
    wanted.into_iter().filter(|line| !has(line)).map(|line| format!("no `{line}`")).collect()
}

/// Libraries that the program needs which the package does not ask for.
fn library_faults(program: &Path, depends: &str) -> Vec<String> {
    let said = succeed("ldd", &[program.to_str().unwrap()]);
    let names = said.lines().filter_map(|line| line.split_whitespace().next());
    let package = |name: &str| match name.split('.').next().unwrap_or_default() {
        "libc" | "libm" | "libdl" | "libpthread" | "librt" => Some("libc6"),
        "libgcc_s" => Some("libgcc-s1"),
        name if name.starts_with("linux-vdso") || name.starts_with("/lib") => Some(""),
        _ => None,
    };
    let missing = names.filter(|it| package(it).is_none_or(|package| !depends.contains(package)));
    missing.map(|it| format!("nothing brings {it}")).collect()
}

#[test]
fn the_package_has_all_that_a_service_needs() {
    let folder = tempfile::tempdir().unwrap();
    let package = build(folder.path());
    let package = package.to_str().unwrap();
    let architecture = succeed("dpkg", &["--print-architecture"]);
    let name = format!("bellwire_{}_{}.deb", version(), architecture.trim());
    assert!(package.ends_with(&name), "{package}");
    assert_eq!(content_faults(&succeed("dpkg-deb", &["-c", package])), Vec::<String>::new());
    let control = succeed("dpkg-deb", &["-I", package]);
    assert_eq!(control_faults(&control), Vec::<String>::new());
    assert_eq!(succeed("dpkg-deb", &["-I", package, "conffiles"]), "/etc/bellwire/bellwire.toml\n");

    let unpacked = folder.path().join("unpacked");
    succeed("dpkg-deb", &["-R", package, unpacked.to_str().unwrap()]);
    let program = unpacked.join("usr/bin/bellwire");
    let said = succeed(program.to_str().unwrap(), &["--version"]);
    assert_eq!(said.trim(), format!("bellwire {}", version()));
    assert_eq!(library_faults(&program, &control), Vec::<String>::new());
    let config = unpacked.join("etc/bellwire/bellwire.toml");
    load(Some(&config), &Environment::from([]), Vec::new()).unwrap();
    let sums = Command::new("md5sum")
        .args(["--quiet", "-c", "DEBIAN/md5sums"])
        .current_dir(&unpacked)
        .output()
        .unwrap();
    assert!(sums.status.success(), "{}", super::tools::said(&sums));
    let manual = unpacked.join("usr/share/man/man1/bellwire-healthcheck.1.gz");
    assert!(succeed("gzip", &["-dc", manual.to_str().unwrap()]).contains("\\-\\-ready"));
    // That it is not compressed is this test's own doing.
    let own = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball";
    let arguments = ["--allow-root", "--fail-on", "error,warning", "--suppress-tags", own, package];
    if let Ok(output) = Command::new("lintian").args(arguments).output() {
        assert!(output.status.success(), "{}", super::tools::said(&output));
    }
}

#[test]
fn faults_in_a_package_are_caught() {
    let line =
        |(path, rights): (&str, &str)| format!("{rights} root/root 1 2026-01-01 00:00 {path}\n");
    let good: String = FILES.into_iter().map(line).collect();
    assert_eq!(content_faults(&good), Vec::<String>::new());
    let missing = good.replace("./usr/share/man/man1/bellwire.1.gz", "./x");
    assert_eq!(content_faults(&missing), ["./usr/share/man/man1/bellwire.1.gz is missing"]);
    assert!(content_faults(&good.replace("-rw-r-----", "-rw-r--r--"))[0].contains("is -rw-r--r--"));
    assert!(!content_faults(&good.replacen("root/root", "me/me", 1)).is_empty());
    assert!(control_faults("Package: bellwire\nVersion: 0.0\n").len() == 3);
    assert_eq!(library_faults(Path::new("/bin/true"), "libc6"), Vec::<String>::new());
    assert_eq!(library_faults(Path::new("/bin/true"), ""), ["nothing brings libc.so.6"]);
    let output = run("scripts/deb", &["nowhere/bellwire", "target"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("deb: nowhere/bellwire is no program"), "{}", said(&output));
}

#[test]
fn who_installs_it_is_asked_nothing_and_loses_nothing() {
    let postrm = text("deploy/debian/postrm");
    assert!(!postrm.contains("rm -"), "data stays");
    let postinst = text("deploy/debian/postinst");
    assert!(postinst.contains("adduser --system --group --home /var/lib/bellwire"));
    assert!(!postinst.contains("systemctl start"), "first it is configured");
    for script in ["postinst", "prerm", "postrm"] {
        assert!(text(&format!("deploy/debian/{script}")).contains("\nset -e\n"), "{script}");
    }
}
