//! x
use crate::exit::Failure;
use clap::Args;
#[derive(Args, Debug)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
