//! The images: deploy/Dockerfile, and .dockerignore.

use super::tools::{said, told, tool};
use super::truth::{command_faults, default_ports, listening, variable_faults};
use super::{paths, text};
use crate::support::fault::{Fault, none_of};

pub(super) const DOCKERFILE: &str = "deploy/Dockerfile";
/// Those that are shipped.
const IMAGES: [&str; 2] = ["external", "embedded"];
/// What the build needs nothing of.
const LEFT_OUT: [&str; 2] = [".ci/", "fuzz/"];

/// One instruction, its lines joined.
#[derive(Debug, PartialEq)]
pub(super) struct Instruction {
    /// As `COPY`.
    pub(super) word: String,
    /// What follows.
    pub(super) rest: String,
}

/// What stands between two `FROM`.
#[derive(Debug)]
pub(super) struct Stage {
    /// Its name, or nothing.
    pub(super) name: String,
    /// What it is made from.
    pub(super) base: String,
    /// The others of it.
    pub(super) instructions: Vec<Instruction>,
}

impl Stage {
    /// What follows each instruction of this kind.
    pub(super) fn all(&self, word: &str) -> Vec<&str> {
        let those = self.instructions.iter().filter(|it| it.word == word);
        those.map(|it| it.rest.as_str()).collect()
    }

    /// What follows the last.
    fn last(&self, word: &str) -> &str {
        self.all(word).last().copied().unwrap_or_default()
    }

    /// Its environment.
    pub(super) fn environment(&self) -> Vec<(&str, &str)> {
        let words = self.all("ENV").into_iter().flat_map(str::split_whitespace);
        words.filter_map(|word| word.split_once('=')).collect()
    }

    /// A command as a list of words.
    fn command(&self, word: &str) -> Option<Vec<String>> {
        let rest = self.last(word);
        let list = rest.find('[').map(|start| &rest[start..])?;
        serde_json::from_str(list).ok()
    }
}

/// Reads a Dockerfile.
pub(super) fn stages(text: &str) -> Vec<Stage> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in joined.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        if word == "FROM" {
            let (base, name) = rest.split_once(" AS ").unwrap_or((rest, ""));
            stages.push(Stage {
                name: name.to_owned(),
                base: base.to_owned(),
                instructions: Vec::new(),
            });
        } else if let Some(stage) = stages.last_mut() {
            stage.instructions.push(Instruction { word: word.to_owned(), rest: rest.to_owned() });
        }
    }
    stages
}

/// Whether an image has a tag that says which.
pub(super) fn is_pinned(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.rsplit_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

fn stage_faults(stage: &Stage, before: &[Stage], paths: &[String]) -> Vec<String> {
    let known = |name: &str| before.iter().any(|it| it.name == name);
    let mut faults = Vec::new();
    if !known(&stage.base) && !is_pinned(&stage.base) {
        faults.push(format!("{} has no tag that says which", stage.base));
    }
    for copy in stage.all("COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        match words.iter().find_map(|word| word.strip_prefix("--from=")) {
            Some(from) if !known(from) => faults.push(format!("there is no stage `{from}`")),
            Some(_) => {}
            None => {
                let sources =
                    words[..words.len() - 1].iter().filter(|word| !word.starts_with("--"));
                let missing =
                    sources.filter(|it| **it != "." && !paths.iter().any(|path| path == **it));
                faults.extend(missing.map(|it| format!("there is no {it}")));
            }
        }
    }
    faults
}

/// What is wrong with an image that is shipped.
fn image_faults(image: &Stage) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault =
        |what: String| faults.push(Fault::whole(DOCKERFILE, format!("{}: {what}", image.name)));
    let user = image.last("USER").split(':').next().unwrap_or_default();
    if !user.parse::<u32>().is_ok_and(|user| user != 0) {
        fault("its user must be a number, and not 0".to_owned());
    }
    let environment = image.environment();
    let data_dir = environment.iter().find(|(name, _)| *name == "BELLWIRE_DATA_DIR");
    if data_dir.map(|(_, dir)| *dir) != Some(image.last("VOLUME")) {
        fault("its volume is not the data directory".to_owned());
    }
    let exposed = image.all("EXPOSE").join(" ");
    let exposed: Vec<u16> = exposed.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let listening = listening(environment.iter().copied());
    let (mqtt, http) = default_ports();
    if listening != [mqtt, http] || !listening.iter().all(|port| exposed.contains(port)) {
        fault(format!("it listens on {listening:?}, and exposes {exposed:?}"));
    }
    let program = ["/usr/bin/bellwire".to_owned()];
    if image.command("ENTRYPOINT").as_deref() != Some(&program[..]) {
        fault("its entry point is not the program".to_owned());
    }
    match image.command("HEALTHCHECK") {
        Some(check) if check.first() == program.first() => {
            let arguments: Vec<&str> = check[1..].iter().map(String::as_str).collect();
            faults.extend(command_faults(DOCKERFILE, &arguments));
        }
        _ => fault("it has no health check by the program".to_owned()),
    }
    let command = image.command("CMD").unwrap_or_default();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    faults.extend(command_faults(DOCKERFILE, &command));
    let of = |(name, value): &(&str, &str)| variable_faults(DOCKERFILE, name, value);
    faults.extend(environment.iter().flat_map(of));
    faults
}

fn faults(dockerfile: &str) -> Vec<Fault> {
    let stages = stages(dockerfile);
    let paths = paths();
    let mut faults = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let of_stage = stage_faults(stage, &stages[..index], &paths);
        faults.extend(of_stage.into_iter().map(|what| Fault::whole(DOCKERFILE, what)));
    }
    for name in IMAGES {
        match stages.iter().find(|stage| stage.name == name) {
            Some(image) => faults.extend(image_faults(image)),
            None => faults.push(Fault::whole(DOCKERFILE, format!("there is no image `{name}`"))),
        }
    }
    let rust = format!("rust:{}.", env!("CARGO_PKG_RUST_VERSION"));
    if !stages.iter().any(|stage| stage.base.starts_with(&rust)) {
        faults.push(Fault::whole(
            DOCKERFILE,
            format!("it is not built by {rust}x, as Cargo.toml says"),
        ));
    }
    faults
}

/// What hadolint says.
fn linted(dockerfile: &str) -> String {
    said(&told(tool("hadolint").arg("-"), dockerfile))
}

#[test]
fn images_are_what_the_program_is() {
    let dockerfile = text(DOCKERFILE);
    none_of(faults(&dockerfile));
    assert_eq!(linted(&dockerfile), "");
}

#[test]
fn faults_in_the_dockerfile_are_caught() {
    let good = text(DOCKERFILE);
    let check = |from: &str, to: &str, expected: &str| {
        assert!(good.contains(from), "{from:?} is not there any more");
        let found = faults(&good.replacen(from, to, 1));
        let says = |fault: &Fault| fault.what.contains(expected);
        assert!(found.iter().any(says), "{from:?} → {to:?}: {found:?}");
    };
    check("debian:12-slim", "debian", "has no tag");
    check("debian:12-slim", "debian:latest", "has no tag");
    check("rust:1.95.0", "rust:1.80.0", "as Cargo.toml says");
    check("package-lock.json", "packages.json", "there is no api/console/packages.json");
    check("--from=console", "--from=consoles", "no stage `consoles`");
    check("USER 65532:65532", "USER root", "must be a number");
    check("VOLUME /var/lib/bellwire", "VOLUME /data", "not the data directory");
    check("BELLWIRE_HTTP_LISTEN", "BELLWIRE_HTTP_LISTENS", "did you mean");
    check("0.0.0.0:8080", "0.0.0.0:80", "it listens on [80, 1883]");
    check("EXPOSE 1883 ", "EXPOSE ", "exposes [8883");
    check("\"healthcheck\"", "\"health\"", "`bellwire health`");
    check("HEALTHCHECK", "ONBUILD HEALTHCHECK", "no health check");
    check("CMD [\"serve\"]", "CMD [\"start\"]", "`bellwire start`");
    check("AS embedded", "AS private", "no image `embedded`");
    assert!(linted(&good.replace("debian:12-slim", "debian:latest")).contains("DL3007"));
}

/// Whether a pattern of .dockerignore leaves this path out.
fn is_left_out(pattern: &str, path: &str) -> bool {
    let (anywhere, name) = match pattern.strip_prefix("**/") {
        Some(name) => (true, name),
        None => (false, pattern),
    };
    if let Some(end) = name.strip_prefix('*') {
        return path.ends_with(end);
    }
    let inside = |path: &str| path == name || path.starts_with(&format!("{name}/"));
    let below = path.match_indices('/').map(|(slash, _)| &path[slash + 1..]);
    inside(path) || (anywhere && below.into_iter().any(inside))
}

/// Faults of .dockerignore: it leaves out what the build needs, or takes in what must stay out.
fn ignore_faults(ignore: &str, paths: &[String]) -> Vec<Fault> {
    let patterns: Vec<&str> =
        ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let left_out = |path: &str| patterns.iter().any(|pattern| is_left_out(pattern, path));
    let needed =
        paths.iter().filter(|path| !LEFT_OUT.iter().any(|it| format!("{path}/").starts_with(it)));
    let lost = needed.filter(|path| left_out(path)).map(|path| format!("leaves out {path}"));
    let secret = [
        ".git/config",
        "deploy/compose/secrets/bellwire.toml",
        "target/debug/bellwire",
        "api/console/dist/x",
    ];
    let taken = secret.iter().filter(|path| !left_out(path)).map(|path| format!("takes in {path}"));
    lost.chain(taken).map(|what| Fault::whole(".dockerignore", what)).collect()
}

#[test]
fn a_build_gets_what_it_needs_and_no_secrets() {
    let (ignore, paths) = (text(".dockerignore"), paths());
    none_of(ignore_faults(&ignore, &paths));
    for (wrong, expected) in [
        (ignore.replace("deploy/compose/secrets", ""), "takes in deploy/compose/secrets"),
        (ignore.replace("\n.git\n", "\n"), "takes in .git/config"),
        (format!("{ignore}\n**/*.sql\n"), "leaves out store/migrations"),
        (format!("{ignore}\ndeploy\n"), "leaves out deploy/bellwire.example.toml"),
        (format!("{ignore}\n**/testing\n"), "leaves out store/src/testing"),
    ] {
        let found = ignore_faults(&wrong, &paths);
        assert!(found.iter().any(|it| it.what.starts_with(expected)), "{expected}: {found:?}");
    }
}
