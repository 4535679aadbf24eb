//! What can be known of a command without running it: that there is such a thing.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bellwire::cli::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use super::page::Block;
use crate::support::fault::Fault;

/// What is there to be named.
#[derive(Debug)]
pub(super) struct Known {
    /// Files and folders of the repository.
    pub(super) paths: Vec<String>,
    /// What git does not see, since it is made.
    pub(super) ignored: String,
    pub(super) makefile: String,
    /// The text of all tests.
    pub(super) tests: String,
}

/// Folders of the repository whose files commands name.
const FOLDERS: [&str; 8] =
    ["api/", "dashboards/", "deploy/", "docs/", "fuzz/", "scripts/", "src/", "tests/"];

/// A block's lines, those that go on joined, each with the line of the page where it begins.
pub(super) fn lines(block: &Block) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in block.text.lines().enumerate() {
        let text = line.strip_suffix('\\').unwrap_or(line);
        match all.last_mut() {
            Some((_, begun)) if goes_on => begun.push_str(text),
            _ => all.push((block.line + index, text.to_owned())),
        }
        goes_on = line.ends_with('\\');
    }
    all
}

/// Splits a line into commands and these into words, as a shell would, but for variables and what is in them.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            (c, Some(end)) if c == end => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (' ' | '\t' | '|' | ';' | '&' | '(' | ')', None) => {
                let ended = word.take();
                all.last_mut().expect("there is one").extend(ended);
                if !matches!(char, ' ' | '\t') {
                    all.push(Vec::new());
                }
            }
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    all.last_mut().expect("there is one").extend(word);
    all.retain(|words| !words.is_empty());
    all
}

/// A command without what only says how it is run: variables, `sudo`, `docker exec`.
fn bare(words: &[String]) -> &[String] {
    let variables = words.iter().take_while(|it| !it.starts_with('-') && it.contains('=')).count();
    let words = &words[variables..];
    let names: Vec<&str> = words.iter().map(String::as_str).take(3).collect();
    match names[..] {
        ["sudo", "-u", _] => bare(&words[3..]),
        ["sudo", ..] => bare(&words[1..]),
        ["docker", "exec", _] => bare(&words[3..]),
        ["kubectl", "exec", ..] => {
            let end = words.iter().position(|word| word == "--").map_or(words.len(), |at| at + 1);
            bare(&words[end..])
        }
        _ => words,
    }
}

/// What is wrong with a command that is not run.
fn command_faults(words: &[String], known: &Known) -> Vec<String> {
    let words = bare(words);
    let Some(program) = words.first() else { return Vec::new() };
    let mut faults = match program.rsplit('/').next() {
        Some("bellwire") => cli_fault(words).into_iter().collect(),
        Some("make") => target_faults(&words[1..], known),
        _ => Vec::new(),
    };
    faults.extend(words.iter().filter_map(|word| path_fault(word, known)));
    faults
}

/// What the command line says of it.
fn cli_fault(words: &[String]) -> Option<String> {
    let error = Cli::try_parse_from(words).err()?;
    let variables = words.iter().any(|word| word.contains('$'));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::ValueValidation | ErrorKind::InvalidValue if variables => None,
        _ => Some(error.to_string()),
    }
}

fn target_faults(words: &[String], known: &Known) -> Vec<String> {
    let targets = words.iter().filter(|word| !word.contains('=') && !word.starts_with('-'));
    let is_there =
        |target: &str| known.makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let gone = targets.filter(|target| !is_there(target));
    gone.map(|target| format!("the Makefile has no `{target}`")).collect()
}

fn path_fault(word: &str, known: &Known) -> Option<String> {
    let path = word.trim_start_matches("./").trim_end_matches('/');
    let ours = FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains('$');
    let mut made = known.ignored.lines().filter_map(|line| line.strip_prefix('/'));
    let is_there =
        known.paths.iter().any(|known| known == path) || made.any(|it| path.starts_with(it));
    let gone = ours && !is_there;
    gone.then(|| format!("there is no {path}"))
}

/// What is wrong with a block of commands that can be seen without running it.
pub(super) fn block_faults(path: &str, block: &Block, known: &Known) -> Vec<Fault> {
    let mut faults = Vec::new();
    let at = |line: usize, what: String| Fault::at(path, line - 1, what);
    if block.language == "sh" && block.file.is_none() {
        let all = lines(block);
        let last = all.last().map_or(0, |(line, _)| *line);
        for (line, text) in all {
            faults.extend(
                line_fault(&text, Place::of(line, last)).map(|what| at(line, what.to_owned())),
            );
        }
    }
    let Some(not_run) = &block.not_run else { return faults };
    if let Some(test) = &not_run.test
        && !known.tests.contains(&format!("fn {test}("))
    {
        faults.push(at(block.line, format!("there is no test `{test}`")));
    }
    if block.language != "sh" {
        return faults;
    }
    faults.extend(syntax_fault(&block.text).map(|what| at(block.line, what)));
    for (line, text) in lines(block) {
        let wrong = commands(&text).into_iter().flat_map(|words| command_faults(&words, known));
        faults.extend(wrong.map(|what| at(line, what)));
    }
    faults
}

/// Where a line of a block is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Last,
}

impl Place {
    fn of(line: usize, last: usize) -> Self {
        if line == last { Self::Last } else { Self::Within }
    }
}

/// What a shell would take and we do not.
fn line_fault(text: &str, place: Place) -> Option<&'static str> {
    let code = text.split(" #").next().unwrap_or(text).trim_start();
    if code.starts_with('#') {
        return None;
    }
    if code.contains('…') {
        return Some("what the reader fills in is a shell variable");
    }
    let apart = ["(", "if ", "while ", "until "].iter().any(|begins| code.starts_with(begins));
    let unheard = code.contains(" && ") && !apart && place == Place::Within;
    unheard.then_some("a shell goes on if `a` of `a && b` fails: write two lines, or parentheses")
}

/// What bash says of it.
fn syntax_fault(text: &str) -> Option<String> {
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash is there");
    bash.stdin.take().expect("it is piped").write_all(text.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// What is wrong with code within a line of prose, given without its marks.
pub(super) fn inline_fault(code: &str, known: &Known) -> Option<String> {
    let words: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        Some("bellwire") if words.len() > 1 => known_words(&words[1..]),
        Some("make") => target_faults(&words[1..], known).pop(),
        Some(program) if program.contains('/') => path_fault(program, known),
        _ => None,
    }
}

/// Whether sub-commands and flags are there; values are not looked at. `a|b` is both, a capital letter or `…` is
/// the reader's.
fn known_words(words: &[String]) -> Option<String> {
    let mut all = Cli::command();
    // With it comes `bellwire help`.
    all.build();
    let mut at = vec![all];
    for word in words {
        let word = word.trim_matches(['[', ']', '(', ')', ',']);
        if let Some(flags) = word.strip_prefix('-') {
            let mut flags = flags.split('|').map(|flag| flag.trim_start_matches('-'));
            let unknown = flags.find(|flag| !at.iter().any(|command| has_flag(command, flag)));
            if let Some(flag) = unknown {
                return Some(format!("`bellwire {}` has no `{flag}`", words.join(" ")));
            }
            continue;
        }
        if at.iter().all(|command| command.get_subcommands().next().is_none()) {
            continue;
        }
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
            break;
        }
        let mut below = Vec::new();
        for name in word.split('|') {
            let found = at.iter().find_map(|command| command.find_subcommand(name));
            let Some(found) = found else {
                return Some(format!("there is no `bellwire … {name}`"));
            };
            below.push(found.clone());
        }
        at = below;
    }
    None
}

fn has_flag(command: &clap::Command, flag: &str) -> bool {
    let flag = flag.split('=').next().unwrap_or(flag);
    let short = flag.chars().next().filter(|_| flag.len() == 1);
    let own = ["help", "h", "version"].contains(&flag);
    own || command.get_arguments().any(|argument| {
        argument.get_long() == Some(flag) || short.is_some() && argument.get_short() == short
    })
}

/// The code within lines of prose, each with the index of its line.
pub(super) fn inline_code(text: &str) -> Vec<(usize, String)> {
    let mut in_block = false;
    let mut all = Vec::new();
    let (mut code, mut begun): (Option<String>, usize) = (None, 0);
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        if in_block || fence || line.trim().is_empty() {
            code = None;
            continue;
        }
        for (part, piece) in line.split('`').enumerate() {
            if part > 0 {
                match code.take() {
                    Some(code) => all.push((begun, code)),
                    None => (code, begun) = (Some(String::new()), index),
                }
            }
            if let Some(code) = &mut code {
                code.push_str(piece);
            }
        }
        // Code may go on in the next line.
        if let Some(code) = &mut code {
            code.push(' ');
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            paths: vec![
                "scripts/deb".to_owned(),
                "deploy".to_owned(),
                "deploy/compose.yaml".to_owned(),
            ],
            ignored: "*.log\n/deploy/secrets\n".to_owned(),
            makefile: "deb: build ## Make\n".to_owned(),
            tests: "async fn it_lasts() {".to_owned(),
        }
    }

    fn faults(not_run: &str, text: &str) -> Vec<String> {
        let page = format!("<!-- not run: {not_run} -->\n```sh\n{text}\n```\n");
        let (page, faults) = super::super::page::parse("a.md", &page);
        assert_eq!(faults, []);
        let blocks = page.blocks("sh").flat_map(|block| block_faults("a.md", block, &known()));
        blocks.map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn what_is_not_run_is_looked_at_all_the_same() {
        for good in [
            "docker exec bellwire bellwire device add a",
            "docker run --name bellwire --detach bellwire:0.1.0",
            "make deb && scripts/deb ./deploy   # it makes it",
            "sudo -u bellwire A=1 bellwire serve \\\n  --data-dir '/var lib'",
            "kubectl exec -it bellwire-0 -- bellwire doctor --json",
            "TOKEN=$(bellwire device add a)",
            "docker compose -f deploy/compose.yaml up",
        ] {
            assert_eq!(faults("docker", good), Vec::<String>::new(), "{good}");
        }
        for (wrong, what) in [
            (
                "docker exec bellwire bellwire devise add a",
                "a.md:3: error: unrecognized subcommand 'devise'",
            ),
            (
                "true\nsudo bellwire serve \\\n  --daemon",
                "a.md:4: error: unexpected argument '--daemon'",
            ),
            ("A=1; make rpm", "a.md:3: the Makefile has no `rpm`"),
            ("docker compose -f deploy/composed.yaml up", "there is no deploy/composed.yaml"),
            ("for a in b", "syntax error"),
        ] {
            let said = faults("docker", wrong);
            assert!(said.len() == 1 && said[0].contains(what), "{wrong}: {said:?}");
        }
        for (wrong, what) in [
            ("docker ps …", "a.md:3: what the reader fills in"),
            ("cd a && docker ps\ntrue", "a.md:3: a shell goes on"),
        ] {
            let said = faults("docker", wrong);
            assert!(said.len() == 1 && said[0].contains(what), "{wrong}: {said:?}");
        }
        for good in ["docker ps # …", "(cd a && docker ps)\ntrue && true", "# … && a\ntrue"] {
            assert_eq!(faults("docker", good), Vec::<String>::new(), "{good}");
        }
        assert_eq!(faults("long, test=it_lasts", "a"), Vec::<String>::new());
        assert!(faults("long, test=it_last", "a")[0].contains("no test `it_last`"));
    }

    #[test]
    fn code_in_prose_names_what_there_is() {
        for good in [
            "bellwire rules backtest --from DAY",
            "bellwire alert list|ack|unack",
            "bellwire device list [--json]",
            "bellwire user rotate|revoke|list …",
            "bellwire …",
            "bellwire man --dir DIR",
            "bellwire serve --help",
            "bellwire help",
            "make deb",
            "scripts/deb",
            "deploy/secrets/password",
            "bellwire",
        ] {
            assert_eq!(inline_fault(good, &known()), None, "{good}");
        }
        for wrong in [
            "bellwire rule backtest",
            "bellwire alert list|acknowledge",
            "bellwire serve --daemon",
            "make rpm",
            "scripts/rpm",
        ] {
            assert!(inline_fault(wrong, &known()).is_some(), "{wrong}");
        }
        let page = "`a` and `b\nc` or\n\n```sh\n`d`\n```\n`e\n\nf`\n";
        let expected = [(0, "a".to_owned()), (0, "b c".to_owned())];
        assert_eq!(inline_code(page), expected);
    }
}
