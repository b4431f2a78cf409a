//! Tables that fit their terminal.
//!
//! Numbers are written in full where they fit, else with three digits and a unit; names give way
//! last, in their middle, because their ends tell them apart.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use super::number::{self, Style};
use super::terminal::Terminal;

/// One cell.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// A name; shortened where room is short.
    Name(String),
    /// A text that stays as it is.
    Text(String),
    /// A count.
    Count(u64),
    /// An amount or another number, already written.
    Number(String),
}

/// How a row looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// An ordinary row.
    Plain,
    /// A row that says more about the one above it.
    Detail,
    /// A sum over rows above.
    Total,
}

/// A table to be.
#[derive(Debug)]
pub(crate) struct Layout {
    header: Vec<&'static str>,
    rows: Vec<(Look, Vec<Cell>)>,
}

/// The shortest that a name is cut to.
const NAME_MIN: usize = 8;

impl Layout {
    /// A table with these columns.
    pub(crate) fn new(header: Vec<&'static str>) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, look: Look, cells: Vec<Cell>) {
        self.rows.push((look, cells));
    }

    /// The table as lines; too wide where even the shortest names leave no room.
    pub(crate) fn draw(&self, terminal: Terminal) -> String {
        self.fitted(terminal)
            .unwrap_or_else(|| self.coloured(&self.drawn(Style::Short, NAME_MIN), terminal))
    }

    /// The table as lines that fit, with names as long as there is room; `None` where they cannot.
    pub(crate) fn fitted(&self, terminal: Terminal) -> Option<String> {
        let fitted = |style, name_max| {
            Some(self.drawn(style, name_max)).filter(|drawn| width(drawn) <= terminal.columns)
        };
        if let Some(whole) =
            fitted(Style::Exact, usize::MAX).or_else(|| fitted(Style::Short, usize::MAX))
        {
            return Some(self.coloured(&whole, terminal));
        }
        let longest = self.rows.iter().flat_map(|(_, cells)| cells).map(name_width).max();
        let mut best = fitted(Style::Short, NAME_MIN)?;
        let (mut fits, mut is_too_long) = (NAME_MIN, longest.unwrap_or(0));
        while fits + 1 < is_too_long {
            let middle = usize::midpoint(fits, is_too_long);
            match fitted(Style::Short, middle) {
                Some(longer) => (fits, best) = (middle, longer),
                None => is_too_long = middle,
            }
        }
        Some(self.coloured(&best, terminal))
    }

    fn drawn(&self, style: Style, name_max: usize) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header);
        for (_, cells) in &self.rows {
            table.add_row(cells.iter().map(|cell| cell.written(style, name_max)));
        }
        let numbers = self.rows.first().map(|(_, cells)| cells.as_slice()).unwrap_or_default();
        for (at, column) in table.column_iter_mut().enumerate() {
            let is_number = matches!(numbers.get(at), Some(Cell::Count(_) | Cell::Number(_)));
            if is_number {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Styles whole lines, so that no column moves.
    fn coloured(&self, drawn: &str, terminal: Terminal) -> String {
        let looks = self.rows.iter().map(|(look, _)| *look);
        let looks = std::iter::once(Look::Total).chain(looks);
        let mut text = String::new();
        for (line, look) in drawn.lines().zip(looks) {
            text.push_str(&match look {
                Look::Plain => line.to_owned(),
                Look::Detail => terminal.dim(line),
                Look::Total => terminal.bold(line),
            });
            text.push('\n');
        }
        text
    }
}

impl Cell {
    fn written(&self, style: Style, name_max: usize) -> String {
        match self {
            Self::Name(name) => shortened(name, name_max),
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Count(count) => number::count(*count, style),
        }
    }
}

fn name_width(cell: &Cell) -> usize {
    match cell {
        Cell::Name(name) => name.width(),
        Cell::Text(_) | Cell::Count(_) | Cell::Number(_) => 0,
    }
}

fn width(drawn: &str) -> usize {
    drawn.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

/// A name of at most `max` columns: its beginning, `…`, and more of its end. Control characters
/// do not reach the terminal.
pub(crate) fn shortened(name: &str, max: usize) -> String {
    let clean = harmless(name);
    if clean.width() <= max {
        return clean;
    }
    let kept = max.saturating_sub(1);
    let head = fitting(clean.chars(), kept / 3);
    let tail: Vec<char> = fitting(clean.chars().rev(), kept - kept / 3).collect();
    head.chain(std::iter::once('…')).chain(tail.into_iter().rev()).collect()
}

/// A sentence of at most `max` columns: its beginning, and `…`.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let clean = harmless(text);
    if clean.width() <= max {
        return clean;
    }
    fitting(clean.chars(), max.saturating_sub(1)).chain(['…']).collect()
}

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The first characters that fit into so many columns: some scripts take two for each.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> impl Iterator<Item = char> {
    chars
        .scan(0, |used, c| {
            *used += c.width().unwrap_or(0);
            Some((*used, c))
        })
        .take_while(move |(used, _)| *used <= columns)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let mut layout = Layout::new(vec!["Project", "Input", "Cost"]);
        let name = Cell::Name("/home/somebody/with/a/long/path/to/project".into());
        layout.row(Look::Plain, vec![name, Cell::Count(1_234_567), Cell::Number("$1.00".into())]);
        layout
    }

    #[test]
    fn what_is_cut_fits_and_does_no_harm() {
        assert_eq!(cut("as it is", 8), "as it is");
        assert_eq!(cut("longer than that", 8), "longer …");
        assert_eq!(cut("模型模型", 6), "模型…");
        assert_eq!(cut("a\u{1b}[31mb", 80), "a\u{fffd}[31mb");
    }

    #[test]
    fn tables_give_way_step_by_step() {
        let wide = Terminal { columns: 80, has_colour: false };
        assert!(layout().draw(wide).contains("1,234,567"));
        for columns in [60, 50, 40, 32] {
            let drawn = layout().draw(Terminal { columns, has_colour: false });
            assert!(width(&drawn) <= columns, "{columns}:\n{drawn}");
        }
        let narrow = layout().draw(Terminal { columns: 32, has_colour: false });
        assert!(
            narrow.contains("1.23M") && narrow.contains('…') && narrow.contains("project"),
            "{narrow}"
        );
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(shortened("a\x1b[2Jb", 80), "a\u{fffd}[2Jb");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(shortened("プロジェクト", 12), "プロジェクト");
        assert_eq!(shortened("プロジェクト", 11), "プ…ェクト");
    }
}
