//! Two repositories in the shape of real ones, with generated weights: for the demo without a network.

use std::fmt::Write as _;

use super::repo::RepoSpec;

/// The tagger repository of the demo.
pub const DEMO_WDV3: &str = "SmilingWolf/wd-vit-tagger-v3";
/// The repository of the demo that holds two models in folders.
pub const DEMO_JTP2: &str = "RedRocket/JointTaggerProject";

const MB: u64 = 1_000_000;

/// The repositories of the demo.
pub fn demo_repos() -> Vec<RepoSpec> {
    vec![wdv3(), jtp2()]
}

fn wdv3() -> RepoSpec {
    let mut tags = "tag_id,name,category,count\n".to_owned();
    for n in 0..10_861u32 {
        // Writing to a string does not fail.
        let _infallible = writeln!(
            tags,
            "{},tag_{n},{},{}",
            9_999_000 + n,
            n % 5,
            900_000 / (n + 1)
        );
    }
    RepoSpec::new(DEMO_WDV3)
        .file(
            ".gitattributes",
            "*.msgpack filter=lfs diff=lfs merge=lfs -text\n*.onnx filter=lfs diff=lfs merge=lfs -text\n",
        )
        .file("README.md", "# WD ViT Tagger v3, practice copy\n")
        .file(
            "config.json",
            "{\n  \"architecture\": \"vit_base_patch16_224\",\n  \"num_classes\": 10861\n}\n",
        )
        .file("sw_jax_cv_config.json", "{\n  \"image_size\": 448,\n  \"model_name\": \"vit_base\"\n}\n")
        .file("selected_tags.csv", tags.as_str())
        .generated("model.onnx", 48 * MB)
        .generated("model.safetensors", 47 * MB)
        .generated("model.msgpack", 47 * MB)
}

fn jtp2() -> RepoSpec {
    let tags: String = (0..9_083).fold("{".to_owned(), |mut tags, n| {
        let comma = if n == 0 { "" } else { "," };
        let _infallible = write!(tags, "{comma}\"tag_{n}\":{n}");
        tags
    }) + "}";
    RepoSpec::new(DEMO_JTP2)
        .file("README.md", "# Joint Tagger Project, practice copy\n")
        .generated(
            "JTP_PILOT/JTP_PILOT-e4-vit_so400m_patch14_siglip_384.safetensors",
            60 * MB,
        )
        .file("JTP_PILOT/tags.json", tags.as_str())
        .generated(
            "JTP_PILOT2/JTP_PILOT2-e3-vit_so400m_patch14_siglip_384.safetensors",
            64 * MB,
        )
        .file("JTP_PILOT2/tags.json", tags.as_str())
}
