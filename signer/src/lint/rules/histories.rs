//! Rules about histories: what people and tools typed on the builder.

use super::{Image, Sink};
use crate::lint::finding::Draft;

/// Histories of shells.
pub fn shells(image: &Image<'_>, sink: &mut Sink) {
    let names = [
        ".bash_history",
        ".zsh_history",
        ".zhistory",
        ".ash_history",
        ".sh_history",
        ".history",
        ".ksh_history",
        ".local/share/fish/fish_history",
    ];
    // Empty ones, too: the class `generated` wants them absent.
    for file in image
        .in_homes(&names)
        .into_iter()
        .filter(|file| file.is_file())
    {
        sink.push(Draft::new(file.path, "is a history of commands").removed());
    }
}

/// Histories of interpreters and database clients, which are typed passwords into.
pub fn tools(image: &Image<'_>, sink: &mut Sink) {
    let names = [
        ".psql_history",
        ".mysql_history",
        ".mariadb_history",
        ".sqlite_history",
        ".rediscli_history",
        ".mongodb/mongosh/mongosh_repl_history",
        ".dbshell",
        ".python_history",
        ".node_repl_history",
        ".irb_history",
        ".lua_history",
        ".gdb_history",
    ];
    for file in image.in_homes(&names) {
        if file.has_content() {
            sink.push(Draft::new(file.path, "is a history of what was typed").removed());
        }
    }
}

/// Finds files in which editors and pagers remember the builder.
pub fn editors(image: &Image<'_>, sink: &mut Sink) {
    let names = [
        ".viminfo",
        ".local/share/nvim/shada/main.shada",
        ".local/state/nvim/shada/main.shada",
        ".local/share/nano/search_history",
        ".local/share/nano/filepos_history",
        ".nano_history",
        ".lesshst",
        ".local/state/lesshst",
        ".emacs.d/recentf",
        ".wget-hsts",
        ".sudo_as_admin_successful",
    ];
    for file in image
        .in_homes(&names)
        .into_iter()
        .filter(|file| file.is_file())
    {
        sink.push(Draft::new(file.path, "is what a tool remembers of the builder").removed());
    }
}
