//! Reads a page into what is to be run, in its order, and says what is not written as it should be.

use crate::support::fault::Fault;

use super::directive::{self, Directive, NotRun, Runs, Toml};

/// A page of the documents.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) path: String,
    pub(super) runs: Runs,
    pub(super) parts: Vec<Part>,
}

/// Something that the test does with a page.
#[derive(Debug)]
pub(super) enum Part {
    /// What the reader is supposed to have.
    Before {
        line: usize,
        commands: String,
    },
    Block(Block),
}

/// What stands in a fence.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Its first line in the page, from 1, behind the fence.
    pub(super) line: usize,
    pub(super) language: String,
    /// Without the fence's own indentation; each line is ended.
    pub(super) text: String,
    pub(super) file: Option<String>,
    pub(super) not_run: Option<NotRun>,
    pub(super) exit: Option<i32>,
    pub(super) shows: Vec<String>,
    pub(super) toml: Option<Toml>,
}

/// How lines begin that are commands, and so belong into a block of them.
const COMMANDS: [&str; 21] = [
    "bellwire ",
    "curl ",
    "mosquitto_",
    "make ",
    "docker ",
    "kubectl ",
    "psql ",
    "npm ",
    "pip ",
    "helm ",
    "sudo ",
    "systemctl ",
    "apt-get ",
    "cargo ",
    "python3 ",
    "node ",
    "scripts/",
    "target/release/",
    "promtool ",
    "openssl ",
    "deploy/compose/",
];

/// Other names of the language of commands.
const NOT_SH: [&str; 6] = ["", "bash", "shell", "console", "zsh", "shellsession"];

impl Page {
    /// Its blocks of this language.
    pub(super) fn blocks<'a>(&'a self, language: &'a str) -> impl Iterator<Item = &'a Block> {
        let blocks = self.parts.iter().filter_map(|part| match part {
            Part::Block(block) => Some(block),
            Part::Before { .. } => None,
        });
        blocks.filter(move |block| block.language == language)
    }

    /// Whether there is something to run.
    pub(super) fn has_commands(&self) -> bool {
        self.blocks("sh").any(|block| block.not_run.is_none() && block.file.is_none())
    }
}

/// Reads a page.
pub(super) fn parse(path: &str, text: &str) -> (Page, Vec<Fault>) {
    let mut reader = Reader {
        page: Page { path: path.to_owned(), ..Page::default() },
        faults: Vec::new(),
        next: Block::default(),
        awaited: None,
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut index = 0;
    while index < lines.len() {
        index += reader.take(&lines, index);
    }
    reader.nothing_awaited();
    (reader.page, reader.faults)
}

struct Reader {
    page: Page,
    faults: Vec<Fault>,
    /// What the comments before it say of the next block.
    next: Block,
    /// The line of a comment that speaks of the next block.
    awaited: Option<usize>,
}

impl Reader {
    /// Reads what begins in this line; how many lines it has.
    fn take(&mut self, lines: &[&str], index: usize) -> usize {
        let line = lines[index];
        if let Some(fence) = Fence::opened(line) {
            return self.block(&fence, lines, index);
        }
        if line.trim_start().starts_with("<!--") {
            return self.comment(lines, index);
        }
        if !line.trim().is_empty() {
            self.nothing_awaited();
        }
        let before = index.checked_sub(1).map_or("", |index| lines[index]);
        self.prose(index, line, before);
        1
    }

    fn fault(&mut self, index: usize, what: impl Into<String>) {
        self.faults.push(Fault::at(&self.page.path, index, what));
    }

    /// A comment that speaks of a block must have one.
    fn nothing_awaited(&mut self) {
        if let Some(index) = self.awaited.take() {
            self.fault(index, "no block follows");
            self.next = Block::default();
        }
    }

    fn prose(&mut self, index: usize, line: &str, before: &str) {
        let indented = line.starts_with("    ") || line.starts_with('\t');
        let code = line.trim_start();
        if indented && (before.trim().is_empty() || is_command(code)) && !is_item(code) {
            self.fault(
                index,
                "is indented: what is shown stands between fences, commands in ```sh",
            );
        }
        let code = line.split('`').skip(1).step_by(2);
        if line.matches("<!--").count() > code.map(|it| it.matches("<!--").count()).sum() {
            self.fault(index, "a directive begins its line");
        }
    }

    /// A block, with its fences; how many lines it has.
    fn block(&mut self, fence: &Fence<'_>, lines: &[&str], index: usize) -> usize {
        let behind = &lines[index + 1..];
        let end = behind.iter().position(|line| fence.is_closed_by(line));
        let Some(end) = end else {
            self.fault(index, "the fence is not closed");
            return lines.len() - index;
        };
        let mut block = std::mem::take(&mut self.next);
        self.awaited = None;
        block.line = index + 2;
        block.language = fence.language.to_owned();
        for line in &behind[..end] {
            let spaces = line.len() - line.trim_start().len();
            block.text.push_str(&line[spaces.min(fence.indent)..]);
            block.text.push('\n');
        }
        let faults = block_faults(&block);
        faults.into_iter().for_each(|(line, what)| self.fault(line, what));
        self.page.parts.push(Part::Block(block));
        end + 2
    }

    /// A comment; how many lines it has.
    fn comment(&mut self, lines: &[&str], index: usize) -> usize {
        let end = lines[index..].iter().position(|line| line.contains("-->"));
        let Some(end) = end else {
            self.fault(index, "the comment is not ended");
            return 1;
        };
        let all = lines[index..=index + end].join("\n");
        let inner = all.trim().trim_start_matches("<!--");
        match inner.strip_suffix("-->") {
            Some(inner) => match directive::parse(inner.trim()) {
                Ok(directive) => self.directive(index, directive),
                Err(what) => self.fault(index, what),
            },
            None => self.fault(index, "text follows the comment"),
        }
        end + 1
    }

    fn directive(&mut self, index: usize, directive: Directive) {
        match directive {
            Directive::Before(commands) => {
                // The line of `before:` itself; what is behind it counts on from there.
                self.page.parts.push(Part::Before { line: index + 1, commands });
                return;
            }
            Directive::Service(runs) => {
                if !self.page.parts.is_empty() {
                    self.fault(index, "`service:` stands before all blocks");
                }
                self.page.runs = runs;
                return;
            }
            Directive::Written => return,
            Directive::File(name) => self.next.file = Some(name),
            Directive::NotRun(reason) => self.next.not_run = Some(reason),
            Directive::Exit(code) => self.next.exit = Some(code),
            Directive::Shows(text) => self.next.shows.push(text),
            Directive::Toml(kind) => self.next.toml = Some(kind),
        }
        self.awaited = Some(index);
    }
}

/// What opens a block.
struct Fence<'a> {
    indent: usize,
    ticks: usize,
    language: &'a str,
}

impl<'a> Fence<'a> {
    fn opened(line: &'a str) -> Option<Self> {
        let rest = line.trim_start();
        let ticks = rest.bytes().take_while(|byte| *byte == b'`').count();
        let language = rest[ticks..].trim();
        let opens = ticks >= 3 && !language.contains('`');
        opens.then(|| Self { indent: line.len() - rest.len(), ticks, language })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.ticks && line.bytes().all(|byte| byte == b'`')
    }
}

fn is_command(text: &str) -> bool {
    COMMANDS.iter().any(|command| text.starts_with(command))
}

/// Whether it is an item of a list within a list.
fn is_item(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* "].iter().any(|mark| text.starts_with(mark))
        || digits.len() < text.len() && digits.starts_with(". ")
}

/// What is wrong with a block, each with the index of its line in the page.
fn block_faults(block: &Block) -> Vec<(usize, String)> {
    let first = block.line - 1;
    let mut faults = Vec::new();
    if NOT_SH.contains(&block.language.as_str()) {
        let what = "a fence says what it has: ```sh for commands, ```text for what they show";
        faults.push((first - 1, what.to_owned()));
    }
    if block.language == "text" {
        let commands = block.text.lines().enumerate().filter(|(_, line)| is_command(line));
        let what = || "a command stands in ```sh".to_owned();
        faults.extend(commands.map(|(index, _)| (first + index, what())));
    }
    let runs = matches!(block.language.as_str(), "sh" | "sql");
    let told = block.not_run.is_some() || block.exit.is_some() || !block.shows.is_empty();
    if told && !runs {
        faults.push((first - 1, "only commands are run, or not".to_owned()));
    }
    if told && runs && block.file.is_some() {
        faults.push((first - 1, "a file is not run".to_owned()));
    }
    if block.not_run.is_some() && (block.exit.is_some() || !block.shows.is_empty()) {
        faults.push((first - 1, "what is not run shows nothing".to_owned()));
    }
    if block.toml.is_some() && block.language != "toml" {
        faults.push((first - 1, "it is no TOML".to_owned()));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        let (page, faults) = parse("a.md", text);
        assert_eq!(faults, [], "{text}");
        page
    }

    #[track_caller]
    fn faulty(text: &str, line: usize, what: &str) {
        let (_, faults) = parse("a.md", text);
        let [fault] = &faults[..] else { panic!("one fault: {faults:?} in {text}") };
        assert!(fault.what.contains(what) && fault.line == line, "{fault} in {text}");
    }

    #[test]
    fn blocks_have_their_lines_and_what_is_said_of_them() {
        let page = page(
            "# A\n<!-- service: none -->\n<!-- before: A=1\n  B=2 -->\n\n<!-- exit: 1 -->\n\
             <!-- shows: no -->\n<!-- shows: yes -->\n\n```sh\na \\\n  b\n```\n\n\
             1. Do:\n\n   <!-- file: a.toml -->\n   ```toml\n   [a]\n     b = 1\n\n   ```\n",
        );
        assert_eq!(page.runs, Runs::Nothing);
        let [Part::Before { line: 3, commands }, Part::Block(sh), Part::Block(toml)] =
            &page.parts[..]
        else {
            panic!("{page:?}")
        };
        assert_eq!(commands, "A=1\n  B=2");
        assert_eq!((sh.line, &*sh.language, &*sh.text), (11, "sh", "a \\\n  b\n"));
        assert_eq!((sh.exit, &sh.shows[..]), (Some(1), &["no".to_owned(), "yes".to_owned()][..]));
        assert_eq!((toml.line, &*toml.text), (19, "[a]\n  b = 1\n\n"));
        assert_eq!((toml.file.as_deref(), toml.exit), (Some("a.toml"), None));
        assert!(page.has_commands());
    }

    #[test]
    fn what_is_not_run_is_nothing_to_run() {
        let page = page("<!-- not run: docker -->\n```sh\ndocker ps\n```\n");
        assert!(!page.has_commands());
        assert_eq!(page.blocks("sh").count(), 1);
        let page = super::super::page::parse("a.md", "<!-- file: a -->\n```sh\na\n```\n").0;
        assert!(!page.has_commands());
    }

    #[test]
    fn what_is_written_otherwise_is_caught() {
        for command in ["bellwire serve", "curl -f x", "mosquitto_pub -t a", "make demo", "npm ci"]
        {
            faulty(&format!("Do this:\n\n    {command}\n"), 3, "is indented");
            faulty(&format!("Do this:\n    {command}\n"), 2, "is indented");
            faulty(&format!("```text\n{command}\n```\n"), 2, "stands in ```sh");
        }
        faulty("Say:\n\n    [http.tls]\n    listen = 1\n", 3, "is indented");
        faulty("```\na\n```\n", 1, "a fence says what it has");
        faulty("```bash\na\n```\n", 1, "a fence says what it has");
        faulty("```sh\na\n", 1, "is not closed");
        faulty("<!-- runs: never -->\n", 1, "is no directive");
        faulty("<!-- not run: too hard -->\n```sh\na\n```\n", 1, "is no reason");
        faulty("It <!-- exit: 1 --> ends.\n", 1, "begins its line");
        faulty("<!-- exit: 1\n", 1, "is not ended");
        faulty("<!-- exit: 1 --> x\n", 1, "text follows");
        faulty("<!-- exit: 1 -->\nText.\n\n```sh\na\n```\n", 1, "no block follows");
        faulty("<!-- exit: 1 -->\n", 1, "no block follows");
        faulty("<!-- exit: 1 -->\n```json\n{}\n```\n", 2, "only commands are run");
        faulty("<!-- file: a -->\n<!-- exit: 1 -->\n```sh\na\n```\n", 3, "a file is not run");
        faulty("<!-- toml: rules -->\n```json\n{}\n```\n", 2, "no TOML");
        faulty("```sh\na\n```\n<!-- service: none -->\n", 4, "before all blocks");
    }

    #[test]
    fn what_only_looks_so_is_left_alone() {
        page("- a\n    - b\n      goes on\n\n    1. c\n");
        page("`<!-- exit: 1 -->` is a directive.\n");
        page("```text\n$ bellwire rules test\nbellwire: no\n```\n");
        page("````text\n```sh\n```\n````\n");
    }
}
