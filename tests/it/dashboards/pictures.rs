//! The guide's pictures of dashboards, drawn from the answers to their own queries. They are written to
//! `docs/pictures` when `BELLWIRE_BLESS` is set; otherwise only whether they can be drawn is looked at.

use std::fmt::Write as _;

use bellwire_store::testing::Kind;

use super::boards;
use super::layout::Board;
use super::model::Kind as Shape;
use super::rows::Answer;
use super::sql::{Asker, repeated};
use super::svg::{Canvas, pixels};

/// Those that mostly ask the database. What asks Prometheus shows what it shows without one.
const PICTURED: [&str; 3] = ["fleet", "device", "alerts"];

const STYLE: &str = "<style>text{font:12px sans-serif;fill:#333}.p{fill:#fff;stroke:#ddd}\
    .t{font-weight:600}.n{fill:#999}.v{font-size:30px;font-weight:600}.h{fill:#888;font-size:11px}\
    .c{font-size:11px}.a{font-size:10px;fill:#888}.g{stroke:#eee}\
    polyline{fill:none;stroke-width:1.5}</style>";

async fn picture(asker: &Asker, board: &Board) -> String {
    let panels = &board.dashboard.panels;
    let rows = panels.iter().map(|it| it.grid_pos.y + it.grid_pos.h).max().unwrap_or(0);
    let (width, height) = pixels(24, rows);
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' \
         width='{width}' height='{height}'>\n{STYLE}\n<rect width='100%' height='100%' fill='#f4f5f5'/>\n"
    );
    let chosen = asker.choose(board).await;
    for panel in panels {
        // Of those that are repeated, the last one.
        let chosen = repeated(&chosen, panel.repeat.as_deref()).pop().unwrap();
        let (x, y) = pixels(panel.grid_pos.x, panel.grid_pos.y);
        let answer: Option<Answer> = match panel.targets.first() {
            Some(target) => asker.answer(board, &chosen, panel.interval.as_deref(), target).await,
            None => None,
        };
        let title = asker.title(board, &chosen, &panel.title);
        let drawn = Canvas::new(panel, asker.now_s()).draw(&title, answer.as_ref());
        assert!(panel.kind == Shape::Row || drawn.lines().count() >= 3, "{title} is empty");
        write!(out, "<g transform='translate({},{})'>\n{drawn}</g>\n", x + 3, y + 3).unwrap();
    }
    out + "</svg>\n"
}

#[tokio::test]
async fn dashboards_can_be_drawn() {
    let asker = Asker::new(Kind::Plain).await;
    for board in &boards() {
        let name = board.dashboard.uid.strip_prefix("bellwire-").unwrap();
        if !PICTURED.contains(&name) {
            continue;
        }
        let picture = picture(&asker, board).await;
        let opened = picture.matches("<g ").count();
        assert_eq!(opened, picture.matches("</g>").count());
        assert_eq!(opened, board.dashboard.panels.len());
        let mut words = picture.split(|c: char| !c.is_alphanumeric());
        assert!(!words.any(|it| ["NaN", "inf"].contains(&it)), "{name}: no place on the canvas");
        if std::env::var_os("BELLWIRE_BLESS").is_some() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("grafana-{name}.svg")), picture).unwrap();
        }
    }
}
