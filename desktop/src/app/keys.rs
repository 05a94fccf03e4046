//! The keys of the window: everything that a pointer can do, a key can do, too.

use egui::{Context, Key, KeyboardShortcut, Modifiers, ThemePreference};

use super::App;
use crate::disk::Question;
use crate::views::{Action, Page, Shown};

/// The keys, as they are shown.
pub(super) const KEYS: [(&str, &str); 20] = [
    ("Ctrl+Enter", "Draw"),
    ("Esc", "Cancel the picture under way, or leave a comparison or a mask"),
    ("Shift+Esc", "Cancel everything"),
    ("Ctrl+P", "To the prompt"),
    ("Ctrl+F", "To the search"),
    ("Ctrl+Left, Ctrl+Right", "The newer, the older picture (outside of text)"),
    ("Ctrl+L", "To the picture under way"),
    ("Ctrl+R", "Recall everything that made the picture shown"),
    ("Ctrl+O", "Recall from a file"),
    ("Ctrl+S", "Save a copy"),
    ("Ctrl+Shift+C", "Copy the picture"),
    ("Ctrl+D", "Compare with dense"),
    ("Ctrl+M", "Token map"),
    ("Ctrl+B", "Begin with a picture: choose one, or paint a mask on it"),
    ("Ctrl+Z, Ctrl+Y", "Take back what was painted, make it again"),
    ("Ctrl+Delete", "Delete the picture shown"),
    ("Ctrl+1, 2, 3", "The pages"),
    ("Ctrl+T", "Light or dark"),
    ("Ctrl+Plus, Minus, 0", "Larger, smaller, as it was"),
    ("Tab, Space, arrows", "From control to control, press, change"),
];

const CTRL_SHIFT: Modifiers = Modifiers { shift: true, ..Modifiers::COMMAND };

impl App {
    /// What the keys ask for. They are taken before any control sees them.
    pub(super) fn keys(&mut self, ctx: &Context) -> Vec<Action> {
        let pressed =
            |modifiers, key| ctx.input_mut(|input| input.consume_shortcut(&KeyboardShortcut::new(modifiers, key)));
        let ctrl = |key| pressed(Modifiers::COMMAND, key);
        let mut actions = Vec::new();
        let mut when = |pressed: bool, action: Action| {
            if pressed {
                actions.push(action);
            }
        };
        when(ctrl(Key::Enter), Action::Draw);
        // The longer ones first: the shorter would take them.
        when(pressed(Modifiers::SHIFT, Key::Escape), Action::CancelAll);
        // Where a menu is open, Escape closes it.
        let free = !egui::Popup::is_any_open(ctx);
        when(free && pressed(Modifiers::NONE, Key::Escape), Action::Stop);
        when(ctrl(Key::P), Action::FocusPrompt);
        when(ctrl(Key::F), Action::FocusSearch);
        when(ctrl(Key::O), Action::Ask(Question::Picture));
        when(ctrl(Key::L), Action::Follow);
        when(ctrl(Key::B), Action::Paint);
        for (key, page) in [(Key::Num1, Page::Draw), (Key::Num2, Page::Models), (Key::Num3, Page::Machine)] {
            when(ctrl(key), Action::Go(page));
        }
        if !ctx.egui_wants_keyboard_input() {
            when(ctrl(Key::ArrowLeft), Action::Beside(true));
            when(ctrl(Key::ArrowRight), Action::Beside(false));
        }
        if let Some(path) = self.shown() {
            when(pressed(CTRL_SHIFT, Key::C), Action::Copy(path.clone()));
            when(ctrl(Key::R), Action::Recall(path.clone()));
            when(ctrl(Key::S), Action::SaveCopy(path.clone()));
            when(ctrl(Key::D), Action::CompareDense(path.clone()));
            if !ctx.egui_wants_keyboard_input() {
                when(ctrl(Key::Delete), Action::Remove(path));
            }
        }
        if self.stage.shown == Shown::Mask
            && !ctx.text_edit_focused()
            && let Some(input) = &mut self.input
        {
            if pressed(CTRL_SHIFT, Key::Z) || ctrl(Key::Y) {
                input.painting.redo();
            } else if ctrl(Key::Z) {
                input.painting.undo();
            }
        }
        if ctrl(Key::M) {
            self.settings.form.traced = !self.settings.form.traced;
        }
        if ctrl(Key::T) {
            let light = ctx.theme() == egui::Theme::Dark;
            ctx.set_theme(if light { ThemePreference::Light } else { ThemePreference::Dark });
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_all_keys() {
        let document = include_str!("../../../docs/app.md");
        for (keys, what) in KEYS {
            assert!(document.contains(&format!("| {keys} | {what} |")), "{keys}");
        }
    }
}
