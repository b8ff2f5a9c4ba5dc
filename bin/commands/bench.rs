//! x
use super::Context;
use crate::exit::Failure;
use clap::Args;
#[derive(Args, Debug)]
pub(crate) struct Bench {}
impl Bench {
    pub(crate) async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}
