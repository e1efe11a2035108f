//! WORKDIR: the directory of what follows, made when missing, with the owner that USER names.

use serde_json::json;

use super::owner;
use crate::build::{
    cache::Key,
    dockerfile::Word,
    error::StepFailure,
    files::{Placer, Tree, mount},
    path,
    stage::{Context, StageRun},
};

impl StageRun<'_> {
    pub(crate) fn workdir(&mut self, context: Context<'_>, word: &Word) -> Result<(), StepFailure> {
        let written = self.scope.expand(&word.text)?;
        let directory = path::absolute(self.state.document.working_dir(), &written);
        self.state.document.set_text("WorkingDir", &directory);
        let created_by = format!("WORKDIR {directory}");
        let user = self.state.document.user().to_owned();
        let key = Key::of(json!({
            "step": "workdir",
            "on": self.state.chain(),
            "path": directory,
            "user": user,
            "epoch": self.builder.epoch,
        }));
        if self
            .take_cached(context, (&key, &[]), &created_by)?
            .is_some()
        {
            return Ok(());
        }
        let (_room, upper, work) = self.room(&self.state.layers)?;
        let lowers = self.builder.lowers(&self.state.layers)?;
        let merged = Tree::of_mount(mount(&lowers, Some((&upper, &work)))?, "the image");
        let target = merged.resolve(directory.as_ref())?;
        if !merged.exists(&target)? {
            let owner = match user.as_str() {
                "" => None,
                user => Some(owner::find(user, &merged)?),
            };
            Placer::new(&merged, owner, None).directories(&target)?;
        }
        drop(merged);
        self.commit(context, &upper, &[&key], &created_by)
    }
}
