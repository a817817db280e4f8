"""Writes tests/data/trees/<template>.json: listings of repositories in the form in which the hub answers.

Names and sizes come from public pages of the hub, mostly rounded to three digits as these pages show them; where a page
states only the whole of a repository, equal formats share it. A size of 1 means that no page states it. Object ids are synthetic: they begin with `facade` and are made from the path, so no
file on the hub has them. `diffusers` and `gguf` are no repositories: names and sizes are invented to show the rules.

Run: python3 scripts/recorded-trees.py
"""

import hashlib
import json
import pathlib

K, M, G = 1_000, 1_000_000, 1_000_000_000
UNKNOWN = 1

# What nearly every repository holds beside its model.
PLAIN = {".gitattributes": UNKNOWN, "README.md": UNKNOWN}


def wd(onnx, others, tags=308 * K):
    return {
        **PLAIN,
        "config.json": 684,
        "model.onnx": onnx,
        "selected_tags.csv": tags,
        "sw_jax_cv_config.json": 303,
        **others,
    }


def wd_v2(onnx):
    return {**PLAIN, "model.onnx": onnx, "selected_tags.csv": 254 * K}


def florence(weights, **more):
    return {
        **PLAIN,
        "config.json": UNKNOWN,
        "configuration_florence2.py": UNKNOWN,
        "generation_config.json": UNKNOWN,
        "modeling_florence2.py": UNKNOWN,
        "preprocessor_config.json": UNKNOWN,
        "processing_florence2.py": UNKNOWN,
        "pytorch_model.bin": weights,
        "tokenizer.json": UNKNOWN,
        "tokenizer_config.json": UNKNOWN,
        "vocab.json": UNKNOWN,
        **more,
    }


def tokenizer(**more):
    return {
        "special_tokens_map.json": UNKNOWN,
        "tokenizer.json": UNKNOWN,
        "tokenizer_config.json": UNKNOWN,
        "vocab.txt": UNKNOWN,
        **more,
    }


def shards(*sizes):
    names = [f"model-{n:05}-of-{len(sizes):05}.safetensors" for n in range(1, len(sizes) + 1)]
    return dict(zip(names, sizes))


def llada(*sizes):
    return {
        **PLAIN,
        "config.json": UNKNOWN,
        "configuration_llada.py": 12 * K,
        "generation_config.json": UNKNOWN,
        **shards(*sizes),
        "model.safetensors.index.json": 24_900,
        "modeling_llada.py": 60_700,
        "special_tokens_map.json": UNKNOWN,
        "tokenizer.json": 6_100 * K,
        "tokenizer_config.json": UNKNOWN,
    }


def sam(safetensors, bin, h5):
    return {
        **PLAIN,
        "config.json": UNKNOWN,
        "model.safetensors": safetensors,
        "preprocessor_config.json": UNKNOWN,
        "pytorch_model.bin": bin,
        "tf_model.h5": h5,
    }


def grounding_dino(safetensors, bin):
    return {
        **PLAIN,
        "config.json": UNKNOWN,
        "model.safetensors": safetensors,
        "preprocessor_config.json": UNKNOWN,
        "pytorch_model.bin": bin,
        **tokenizer(),
    }


def rtdetr(weights):
    return {
        **PLAIN,
        "config.json": 5_110,
        "model.safetensors": weights,
        "preprocessor_config.json": 841,
    }


def sam2_1(size, weights):
    return {**PLAIN, f"sam2.1_hiera_{size}.pt": weights, f"sam2.1_hiera_{size}.yaml": UNKNOWN}


JTP = {
    **PLAIN,
    "JTP_PILOT/JTP_PILOT-e4-vit_so400m_patch14_siglip_384.safetensors": 1_750 * M,
    "JTP_PILOT/tags.json": UNKNOWN,
    "JTP_PILOT2/JTP_PILOT2-e3-vit_so400m_patch14_siglip_384.safetensors": 1_800 * M,
    "JTP_PILOT2/tags.json": UNKNOWN,
}

CAMIE = {
    **PLAIN,
    **{
        f"{folder}/{name}": UNKNOWN
        for folder in ["initial", "refined"]
        for name in [
            "model.onnx",
            "model_initial_only.onnx",
            "preprocess.json",
            "selected_tags.csv",
            "threshold.json",
        ]
    },
    "models.parquet": 11_200,
}

ADETAILER = {
    **PLAIN,
    "deepfashion2_yolov8s-seg.pt": 23_800 * K,
    "face_yolov8m.pt": 52_026_019,
    "face_yolov8n.pt": 6_230_075,
    "face_yolov8n_v2.pt": 6_200 * K,
    "face_yolov8s.pt": 22_507_771,
    "face_yolov9c.pt": 51_590_267,
    "hand_yolov8n.pt": 6_200 * K,
    "hand_yolov8s.pt": 22_500 * K,
    "hand_yolov9c.pt": UNKNOWN,
    "person_yolov8m-seg.pt": 54_800 * K,
    "person_yolov8n-seg.pt": 6_750 * K,
    "person_yolov8s-seg.pt": 23_800 * K,
}

DREAM = {
    **PLAIN,
    "added_tokens.json": UNKNOWN,
    "config.json": UNKNOWN,
    "configuration_dream.py": UNKNOWN,
    "generation_config.json": UNKNOWN,
    "generation_utils.py": UNKNOWN,
    "merges.txt": UNKNOWN,
    **shards(4_780 * M, 4_910 * M, 4_910 * M, 631 * M),
    "model.safetensors.index.json": UNKNOWN,
    "modeling_dream.py": UNKNOWN,
    "special_tokens_map.json": UNKNOWN,
    "tokenization_dream.py": UNKNOWN,
    "tokenizer_config.json": UNKNOWN,
    "vocab.json": UNKNOWN,
}

DIFFUSERS = {
    **PLAIN,
    "model_index.json": 600,
    "pipeline-full.ckpt": 7 * G,
    "pipeline-full.safetensors": 7 * G,
    "safety_checker/config.json": 4_700,
    "safety_checker/pytorch_model.bin": 1_200 * M,
    "scheduler/scheduler_config.json": 300,
    "text_encoder/config.json": 600,
    "text_encoder/model.fp16.safetensors": 250 * M,
    "text_encoder/model.safetensors": 500 * M,
    "text_encoder/pytorch_model.bin": 500 * M,
    "tokenizer/merges.txt": 500 * K,
    "tokenizer/vocab.json": 1 * M,
    "unet/config.json": 700,
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors": 2 * G,
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors": 1_500 * M,
    "unet/diffusion_pytorch_model.fp16.safetensors": 1_750 * M,
    "unet/diffusion_pytorch_model.safetensors.index.json": 70 * K,
    "unet/model.onnx": 3 * G,
    "vae/config.json": 600,
    "vae/diffusion_pytorch_model.safetensors": 330 * M,
}

GGUF = {
    **PLAIN,
    "imatrix-Q4_K_M.gguf": 5 * M,
    "mmproj-model-bf16.gguf": 850 * M,
    "mmproj-model-f16.gguf": 850 * M,
    "model-Q4_K_M.gguf": 4_900 * M,
    "model-Q4_K_S.gguf": 4_700 * M,
    "model-iq4_xs.gguf": 4_400 * M,
    **{f"BF16/model-BF16-{n:05}-of-00003.gguf": size for n, size in [(1, 6 * G), (2, 6 * G), (3, 4 * G)]},
}

TREES = {
    "wdv3-vit": wd(379 * M, {"model.msgpack": 378 * M, "model.safetensors": 378 * M}),
    "wdv3-vit-large": wd(1_260 * M, {"model.msgpack": 1_260 * M, "model.safetensors": 1_260 * M}),
    "wdv3-swinv2": wd(467 * M, {"model.msgpack": 414 * M, "model.safetensors": 392 * M}),
    "wdv3-convnext": wd(395 * M, {"model.msgpack": 395 * M, "model.safetensors": 395 * M}),
    "wdv3-eva02-large": wd(1_260 * M, {"model.msgpack": 1_260 * M, "model.safetensors": 1_260 * M}),
    "wdv2-swinv2": {
        **wd_v2(455 * M),
        "model.msgpack": UNKNOWN,
        "model.safetensors": UNKNOWN,
        "saved_model.pb": 37_600 * K,
        "variables/variables.data-00000-of-00001": 385 * M,
        "variables/variables.index": UNKNOWN,
    },
    "wdv2-convnext": wd_v2(388 * M),
    "wdv2-convnextv2": wd_v2(388 * M),
    "wdv2-moat": wd_v2(326 * M),
    "wdv2-vit": wd_v2(373 * M),
    "jtp1": JTP,
    "jtp2": JTP,
    "pixai-v0.9": {
        **PLAIN,
        "categories.json": UNKNOWN,
        "model.onnx": UNKNOWN,
        "preprocess.json": UNKNOWN,
        "sample.webp": UNKNOWN,
        "selected_tags.csv": UNKNOWN,
        "thresholds.csv": UNKNOWN,
    },
    "camie-onnx": CAMIE,
    "florence2-base": florence(464 * M),
    "florence2-large": florence(1_540 * M, **{"sample_inference.ipynb": 5_710 * K}),
    "blip-base": {
        **PLAIN,
        "Screenshot.jpg": 236 * K,
        "config.json": UNKNOWN,
        "preprocessor_config.json": UNKNOWN,
        "pytorch_model.bin": 990 * M,
        "tf_model.h5": 990 * M,
        **tokenizer(),
    },
    "blip-large": {
        **PLAIN,
        "config.json": UNKNOWN,
        "model.safetensors": 1_880 * M,
        "preprocessor_config.json": UNKNOWN,
        "pytorch_model.bin": 1_880 * M,
        "tf_model.h5": 1_880 * M,
        **tokenizer(),
    },
    "joycaption-a2": {
        **PLAIN,
        "chat_template.json": UNKNOWN,
        "config.json": UNKNOWN,
        "generation_config.json": UNKNOWN,
        **shards(4_910 * M, 5_000 * M, 4_920 * M, 3_030 * M),
        "model.safetensors.index.json": UNKNOWN,
        "preprocessor_config.json": UNKNOWN,
        "processor_config.json": UNKNOWN,
        "special_tokens_map.json": UNKNOWN,
        "tokenizer.json": 9_200 * K,
        "tokenizer_config.json": UNKNOWN,
    },
    "moondream2": {
        **PLAIN,
        "config.json": UNKNOWN,
        "configuration_moondream.py": UNKNOWN,
        "generation_config.json": UNKNOWN,
        "merges.txt": UNKNOWN,
        "model.safetensors": 3_720 * M,
        "modeling_phi.py": UNKNOWN,
        "moondream.py": UNKNOWN,
        "moondream2-mmproj-f16.gguf": UNKNOWN,
        "moondream2-text-model-f16.gguf": UNKNOWN,
        "tokenizer.json": UNKNOWN,
        "vision_encoder.py": UNKNOWN,
    },
    "moondream2-gguf": {
        **PLAIN,
        "moondream2-mmproj-f16.gguf": 910 * M,
        "moondream2-text-model-f16.gguf": 2_840 * M,
    },
    "yolo11": {
        **PLAIN,
        "yolo11l.pt": 51_400 * K,
        "yolo11m.pt": 40_700 * K,
        "yolo11n-pose.pt": 6_260 * K,
        "yolo11n.pt": 5_610 * K,
        "yolo11s.pt": 19_300 * K,
        "yolo11x.pt": 115 * M,
    },
    "adetailer": ADETAILER,
    "grounding-dino-tiny": grounding_dino(689 * M, 692 * M),
    "grounding-dino-base": grounding_dino(933 * M, 936 * M),
    "groundingdino-original": {
        **PLAIN,
        "groundingdino_swinb_cogcoor.pth": 938_057_991,
        "groundingdino_swint_ogc.pth": 693_997_677,
    },
    "sam-vit-huge": sam(2_560 * M, 2_560 * M, 2_570 * M),
    "sam-vit-large": sam(1_250 * M, 1_250 * M, 1_250 * M),
    "sam-vit-b-original": {**PLAIN, "sam_vit_b_01ec64.pth": 375_042_383},
    "sam2-hiera-large": {**PLAIN, "sam2_hiera_l.yaml": 3_700, "sam2_hiera_large.pt": 898 * M},
    "sam2.1-hiera-large": sam2_1("large", 898_083_611),
    "sam2.1-hiera-base-plus": sam2_1("base_plus", 323_606_802),
    "sam2.1-hiera-small": sam2_1("small", 184_416_285),
    "sam2.1-hiera-tiny": sam2_1("tiny", 156_008_466),
    "rtdetr-r50": rtdetr(172 * M),
    "rtdetr-r34": rtdetr(126 * M),
    "rtdetr-r18": rtdetr(80_900 * K),
    "llada-8b-instruct": llada(2_110 * M, 2_950 * M, 2_990 * M, 2_950 * M, 2_920 * M, 2_110 * M),
    "llada-8b-base": llada(2_110 * M, 2_950 * M, 2_990 * M, 2_950 * M, 2_920 * M, 2_110 * M),
    "llada-1.5": llada(2_980 * M, 2_990 * M, 2_950 * M, 2_920 * M, 2_950 * M, 1_240 * M),
    "dream-coder-7b": DREAM,
    "diffusers": DIFFUSERS,
    "gguf": GGUF,
}


def oid(algorithm, template, path):
    """An id that is not that of any content: `facade`, then a hash of where the file is said to lie."""
    digest = hashlib.new(algorithm, f"synthetic {template} {path}".encode()).hexdigest()
    return "facade" + digest[6:]


def entry(template, path, size):
    file = {"type": "file", "oid": oid("sha1", template, path), "size": size, "path": path}
    binary = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".parquet", ".pb", ".pt", ".pth", ".safetensors")
    if path.endswith(binary) or size > 10 * M:
        file["lfs"] = {"oid": oid("sha256", template, path), "size": size, "pointerSize": 134}
    return file


def tree(template, files):
    folders = sorted({path.rsplit("/", 1)[0] for path in files if "/" in path})
    listing = [{"type": "directory", "oid": oid("sha1", template, f), "size": 0, "path": f} for f in folders]
    return listing + [entry(template, path, files[path]) for path in sorted(files)]


def main():
    folder = pathlib.Path(__file__).parent.parent / "tests/data/trees"
    folder.mkdir(parents=True, exist_ok=True)
    for template, files in TREES.items():
        lines = ",\n".join(json.dumps(line) for line in tree(template, files))
        (folder / f"{template}.json").write_text(f"[\n{lines}\n]\n")


main()
