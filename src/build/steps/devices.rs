//! `RUN --device`: devices of the host that vendors describe (Container Device Interface).

use crate::build::{
    dockerfile::{Run, Word},
    error::StepFailure,
    runner::StepDevice,
    stage::StageRun,
};

/// The right that a build needs.
const RIGHT: &str = "device";

/// One `--device`: `[name=]vendor/class=device[,required[=bool]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: String,
    /// Without it the step runs without a device that is not there.
    pub(super) required: bool,
}

impl StageRun<'_> {
    /// Reads what a RUN asks for; asking without being allowed is an error.
    pub(super) fn asked_devices(&self, run: &Run) -> Result<Vec<Asked>, StepFailure> {
        let asked: Vec<Asked> = run
            .devices
            .iter()
            .map(|word| self.asked_device(word))
            .collect::<Result<_, _>>()?;
        let input = self.builder.input;
        let allowed = |one: &Asked| {
            let rights = &input.allow_devices;
            rights.all || rights.names.contains(&one.name)
        };
        if asked.iter().all(allowed) {
            Ok(asked)
        } else {
            Err(StepFailure::NotAllowed(RIGHT))
        }
    }

    fn asked_device(&self, word: &Word) -> Result<Asked, StepFailure> {
        let text = self.scope.expand(&word.text)?;
        let refuse = |rule| StepFailure::Value {
            what: "--device",
            value: text.clone(),
            rule,
        };
        let mut fields = text.split(',');
        let first = fields.next().unwrap_or_default();
        let name = first.strip_prefix("name=").unwrap_or(first).to_owned();
        let mut required = false;
        for field in fields {
            required = match field {
                "required" | "required=true" | "required=1" => true,
                "required=false" | "required=0" => false,
                _ => return Err(refuse("has the form NAME[,required]")),
            };
        }
        if !name.contains('/') || !name.contains('=') {
            return Err(refuse("must name a device as vendor/class=name"));
        }
        Ok(Asked { name, required })
    }

    /// Finds the devices; one that is not required and not there is left out with a warning.
    pub(super) fn devices(&self, run: &Run, asked: &[Asked]) -> Result<StepDevice, StepFailure> {
        let mut all = StepDevice::default();
        for (one, word) in asked.iter().zip(&run.devices) {
            match self.builder.runner.device(&one.name) {
                Ok(device) => {
                    all.nodes.extend(device.nodes);
                    all.mounts.extend(device.mounts);
                    all.env.extend(device.env);
                    all.groups.extend(device.groups);
                }
                Err(reason) if one.required => return Err(StepFailure::Device(reason)),
                Err(reason) => self.warn(word.span, &format!("runs without a device: {reason}")),
            }
        }
        Ok(all)
    }
}
