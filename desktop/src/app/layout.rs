//! Where the views are, by the page and the room there is.

use egui::{CentralPanel, Frame, Margin, Panel, ScrollArea, Ui};

use super::App;
use super::keys::KEYS;
use crate::theme::Palette;
use crate::views::{Action, Page, Seen, compose, header, history, machine, models, notices, queue, stage};

/// From this width on, the queue has a column of its own. In a narrower window it is below the form.
const WIDE: f32 = 1000.0;

impl App {
    pub(super) fn layout(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui);
        let frame = Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(12, 8));
        let device = self.model.facts().map(|facts| facts.device.clone());
        let top = Panel::top("header").frame(frame).resizable(false);
        top.show(ui, |ui| header(ui, self.page, device.as_deref(), actions));
        if self.notices.iter().next().is_some() {
            let frame = Frame::new().fill(palette.panel);
            Panel::top("notices").frame(frame).show(ui, |ui| notices(ui, &self.notices, actions));
        }
        match self.page {
            Page::Draw => self.drawing(ui, frame, actions),
            Page::Models => {
                let central = CentralPanel::default().frame(frame.inner_margin(Margin::same(20)));
                central.show(ui, |ui| {
                    models(ui, (&self.model, self.machine.as_ref()), &self.settings, &mut self.named, actions)
                });
            }
            Page::Machine => {
                let central = CentralPanel::default().frame(frame.inner_margin(Margin::same(20)));
                if let Some(report) = &mut self.machine {
                    report.chosen = device;
                }
                central.show(ui, |ui| machine(ui, self.machine.as_ref(), &KEYS));
            }
        }
    }

    fn queue_pane(&self, ui: &mut Ui, actions: &mut Vec<Action>) {
        ScrollArea::vertical().id_salt("queue").auto_shrink([false, true]).show(ui, |ui| {
            queue(ui, &self.queue, self.stage.live.as_ref(), actions);
        });
    }

    fn drawing(&mut self, ui: &mut Ui, frame: Frame, actions: &mut Vec<Action>) {
        let wide = ui.available_width() >= WIDE;
        let left = Panel::left("form").frame(frame).resizable(true).default_size(300.0).size_range(240.0..=420.0);
        left.show(ui, |ui| {
            // In sight, however long the form is.
            if !wide {
                let frame = Frame::new().inner_margin(Margin { top: 8, ..Margin::ZERO });
                let below = Panel::bottom("queue below").frame(frame).resizable(true);
                below.default_size(150.0).size_range(90.0..=360.0).show(ui, |ui| self.queue_pane(ui, actions));
            }
            ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
                let input = (self.input.as_ref(), &mut self.album);
                compose(ui, &mut self.settings.form, self.model.facts(), input, actions);
            });
        });
        if wide {
            let right = Panel::right("queue").frame(frame).resizable(true);
            right.default_size(220.0).size_range(180.0..=360.0).show(ui, |ui| self.queue_pane(ui, actions));
        }
        let shown = self.shown();
        let bottom = Panel::bottom("history").frame(frame).resizable(false).exact_size(158.0);
        bottom.show(ui, |ui| history(ui, &mut self.history, shown.as_deref(), &mut self.album, actions));
        CentralPanel::default().frame(frame).show(ui, |ui| {
            let running = self.queue.running().is_some();
            let seen = Seen { history: &self.history, model: &self.model, running };
            let input = self.input.as_mut();
            stage(ui, &mut self.stage, &mut self.settings, (seen, input), &mut self.album, actions);
        });
    }
}
