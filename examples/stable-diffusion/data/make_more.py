"""More of what people have, beside the models of make_data.py: single files, a ControlNet, low-rank weights and words
for XL, a network that is told the scale of guidance.

    python make_more.py OUT

OUT is a folder that make_data.py has filled; NAME-extras and NAME-more.json are added to it. Single files and low-rank
weights are read back by diffusers, which must find the same model in them.
"""

import argparse
import json
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file

import make_data as data
from make_data import NEGATIVE, randomised, rounded, save


class Maker(data.Maker):
    """Of more kinds."""

    STEPS = 6

    def __init__(self, folder, pipe):
        super().__init__(folder, pipe, None)
        self.source = folder.parent / "sd1"

    def pipeline(self, kind, parts):
        first = {"text": StableDiffusionPipeline, "image": StableDiffusionImg2ImgPipeline,
                 "inpaint": StableDiffusionInpaintPipeline, "control": StableDiffusionControlNetPipeline}
        xl = {"text": StableDiffusionXLPipeline, "image": StableDiffusionXLImg2ImgPipeline,
              "inpaint": StableDiffusionXLInpaintPipeline, "control": StableDiffusionXLControlNetPipeline}
        is_xl = hasattr(self.pipe, "text_encoder_2")
        # Watermarks are for published pictures.
        more = {"add_watermarker": False} if is_xl else {}
        return (xl if is_xl else first)[kind](**(self.pipe.components | parts), **more)

    def case(self, name, key, kind="text", parts=None, **call):
        super().case(name, kind, key, parts=parts, **call)


RESNET = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
          ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")]
OUTSIDE = [("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
           ("add_embedding.linear_1", "label_emb.0.0"), ("add_embedding.linear_2", "label_emb.0.2"),
           ("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
           ("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"),
           ("mid_block.resnets.1", "middle_block.2")]


def swapped(name, table):
    for old, new in table:
        if name == old or name.startswith(old + "."):
            return new + name[len(old):]
    return None


def unet_name(name, config):
    """A name of the U-Net as the authors of Stable Diffusion have it."""
    layers, attends = config.layers_per_block, [kind.startswith("Cross") for kind in config.up_block_types]
    found = swapped(name, OUTSIDE)
    if found is None:
        blocks, level, kind, place, rest = name.split(".", 4)
        level, place = int(level), int(place)
        first = level * (layers + 1) + place
        found = {
            ("down_blocks", "resnets"): f"input_blocks.{first + 1}.0.{rest}",
            ("down_blocks", "attentions"): f"input_blocks.{first + 1}.1.{rest}",
            ("down_blocks", "downsamplers"): f"input_blocks.{first + layers + 1}.0.{rest.replace('conv', 'op')}",
            ("up_blocks", "resnets"): f"output_blocks.{first}.0.{rest}",
            ("up_blocks", "attentions"): f"output_blocks.{first}.1.{rest}",
            ("up_blocks", "upsamplers"): f"output_blocks.{first + layers}.{1 + attends[level]}.{rest}",
        }[blocks, kind]
    if ".resnets." in name:
        for own, theirs in RESNET:
            found = found.replace(f".{own}.", f".{theirs}.")
    return found


VAE = [("conv_norm_out", "norm_out"), ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
       ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"), ("mid_block.attentions.0.to_q", "mid.attn_1.q"),
       ("mid_block.attentions.0.to_k", "mid.attn_1.k"), ("mid_block.attentions.0.to_v", "mid.attn_1.v"),
       ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")]


def vae_name(name, levels):
    half, rest = name.split(".", 1)
    found = swapped(rest, VAE)
    if found is None and "_blocks." in rest:
        way, level, kind, place, rest = rest.split(".", 4)
        if way == "up_blocks":
            level = levels - 1 - int(level)
        inside = f"block.{place}.{rest.replace('conv_shortcut', 'nin_shortcut')}" if kind == "resnets" else f"{kind[:-2]}.{rest}"
        found = f"{way.removesuffix('_blocks')}.{level}.{inside}"
    return f"{half}.{found or rest}"


CLIP = [("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")]


def open_clip(tensors):
    """The text model of transformers as OpenCLIP has it."""
    made = {}
    for name, tensor in tensors.items():
        if name == "text_projection.weight":
            made["text_projection"] = tensor.T.contiguous()
            continue
        name = name.removeprefix("text_model.")
        outside = {"embeddings.position_embedding.weight": "positional_embedding",
                   "embeddings.token_embedding.weight": "token_embedding.weight",
                   "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}
        if name in outside:
            made[outside[name]] = tensor
            continue
        layer, rest = name.removeprefix("encoder.layers.").split(".", 1)
        start = f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            if rest == f"self_attn.q_proj.{kind}":
                three = [tensors[f"text_model.encoder.layers.{layer}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                made[f"{start}attn.in_proj_{kind}"] = torch.cat(three)
        if not any(f".{letter}_proj." in name for letter in "qkv"):
            made[start + swapped(rest, CLIP)] = tensor
    return made


def single_file(out, name, pipe, kind):
    """All parts in one file, under the names of the authors, and what diffusers reads from it."""
    folder = out / name
    part = lambda sub, stem="diffusion_pytorch_model": load_file(folder / sub / f"{stem}.safetensors")
    made = {"model.diffusion_model." + unet_name(k, pipe.unet.config): v for k, v in part("unet").items()}
    for k, v in part("vae").items():
        k = vae_name(k, len(pipe.vae.config.block_out_channels))
        # Their attention is of 1x1 convolutions.
        v = v[:, :, None, None] if "attn_1" in k and "norm" not in k and k.endswith("weight") else v
        made["first_stage_model." + k] = v
    first = part("text_encoder", "model")
    if name == "sdxl":
        made |= {f"conditioner.embedders.0.transformer.{k}": v for k, v in first.items()}
        second = open_clip(part("text_encoder_2", "model"))
        made |= {f"conditioner.embedders.1.model.{k}": v for k, v in second.items()}
    else:
        made |= {f"cond_stage_model.transformer.{k}": v for k, v in first.items()}
    path = out / f"{name}-extras" / "single.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in made.items()}, path)
    more = {"add_watermarker": False} if name == "sdxl" else {}
    found = kind.from_single_file(path, config=str(folder), local_files_only=True, torch_dtype=torch.float32, **more)
    for which in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if hasattr(pipe, which):
            expected, own = getattr(pipe, which).state_dict(), getattr(found, which).state_dict()
            assert all(torch.equal(expected[k], own[k]) for k in expected), which
    return found


def controlnet(out, name, pipe, seed, **more):
    config = {k: pipe.unet.config[k] for k in (
        "in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups",
        "cross_attention_dim", "attention_head_dim", "use_linear_projection", "transformer_layers_per_block",
        "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim")}
    model = randomised(ControlNetModel(conditioning_embedding_out_channels=(4, 8), **config), seed)
    save(model, out / f"{name}-extras" / "controlnet")
    return model


def told_the_scale(out):
    """A U-Net that is told the scale of guidance, as those distilled to consistency are."""
    made = data.unet(41, channels=(4, 8), groups=2, attention_head_dim=2, time_cond_proj_dim=6)
    save(made, out / "sd1-extras" / "lcm-unet")
    generator = torch.Generator().manual_seed(7)
    x, text = torch.randn(1, 4, 7, 11, generator=generator), torch.randn(1, 77, 16, generator=generator)
    # That of a scale of 8.5.
    told = StableDiffusionPipeline.get_guidance_scale_embedding(None, torch.tensor([7.5]), embedding_dim=6)
    with torch.no_grad():
        return rounded(made(x, 501, text, timestep_cond=told).sample)


def odd(pipe):
    """Latents of an odd size, which are not halved and doubled evenly."""
    generator = torch.Generator().manual_seed(7)
    x, text = torch.randn(1, 4, 7, 11, generator=generator), torch.randn(1, 77, 16, generator=generator)
    with torch.no_grad():
        return rounded(pipe.unet(x, 501, text).sample)


def write(out, name, maker, **more):
    result = more | {"cases": maker.cases}
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    (out / f"{name}-more.json").write_text(text + "\n")


def sd1(out):
    pipe = data.load(StableDiffusionPipeline, out / "sd1")
    maker = Maker(out / "sd1", pipe)
    found = single_file(out, "sd1", pipe, StableDiffusionPipeline)
    maker.case("single file", "ddim", parts=found.components, single_file="single.safetensors")
    other = data.load(AutoencoderKL, out / "sd2" / "vae")
    maker.case("an autoencoder of one's own", "ddim", parts={"vae": other}, vae="../sd2/vae")
    # The pipeline of this version looks for the norm where the text model of that version no longer has it.
    object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    maker.case("a layer left out", "ddim", clip_skip=1)
    object.__delattr__(pipe.text_encoder, "text_model")
    maker.case("a long prompt", "ddim", prompt="a cat on a river, " * 20)
    maker.case("two pictures from one", "euler a", "image", strength=0.5, num_images_per_prompt=2)
    maker.case("two pictures painted over", "euler a", "inpaint", strength=0.7, num_images_per_prompt=2)
    maker.case("painted over, sa", "sa", "inpaint", strength=1.0)
    for key in ("dpm2", "dpm2 a"):
        maker.case(f"painted over, {key}", key, "inpaint", strength=0.7, guidance_scale=3.0)
    control = {"controlnet": controlnet(out, "sd1", pipe, 42)}
    for scale, key in ((1.0, "ddim"), (0.4, "euler a")):
        maker.case(f"ControlNet, {scale}", key, "control", control, controlnet="controlnet", controlnet_conditioning_scale=scale)
    write(out, "sd1", maker, told_the_scale=told_the_scale(out), odd=odd(pipe))


def xl_lora(out, pipe):
    """As kohya's programs write it for XL, whose U-Net has the names of the authors there."""
    generator = torch.Generator().manual_seed(6)
    made = {}

    def add(flat, module):
        shape, rank = module.weight.shape, 2
        made[f"{flat}.lora_down.weight"] = (torch.randn(rank, *shape[1:], generator=generator) / shape[1] ** 0.5).half()
        up = torch.randn(shape[0], rank, *(1 for _ in shape[2:]), generator=generator) / 4
        made[f"{flat}.lora_up.weight"] = up.half()
        made[f"{flat}.alpha"] = torch.tensor(1.0).half()

    for name, module in pipe.unet.named_modules():
        if name.endswith(("attn1.to_q", "attn2.to_out.0", "ff.net.0.proj", "proj_in")):
            add("lora_unet_" + unet_name(name + ".x", pipe.unet.config)[:-2].replace(".", "_"), module)
    for i, encoder in ((1, pipe.text_encoder), (2, pipe.text_encoder_2)):
        for name, module in encoder.named_modules():
            # All of them: diffusers takes the names of the attention for others where its output is missing.
            if name.endswith(("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")):
                name = "text_model." + name.removeprefix("text_model.")
                add(f"lora_te{i}_" + name.replace(".", "_"), module)
    save_file(made, out / "sdxl-extras" / "lora-kohya.safetensors")


def sdxl(out):
    pipe = data.load(StableDiffusionXLPipeline, out / "sdxl", add_watermarker=False)
    maker = Maker(out / "sdxl", pipe)
    found = single_file(out, "sdxl", pipe, StableDiffusionXLPipeline)
    maker.case("single file", "euler", parts=found.components, single_file="single.safetensors")
    maker.case("a layer left out", "euler", clip_skip=1)
    maker.case("two pictures from one", "euler a", "image", strength=0.5, num_images_per_prompt=2)
    maker.case("painted over", "euler a", "inpaint", strength=0.7, negative_prompt=NEGATIVE)
    control = {"controlnet": controlnet(out, "sdxl", pipe, 43)}
    maker.case("ControlNet", "euler", "control", control, controlnet="controlnet", controlnet_conditioning_scale=0.8)
    xl_lora(out, pipe)
    pipe.load_lora_weights(out / "sdxl-extras", weight_name="lora-kohya.safetensors", adapter_name="one")
    pipe.fuse_lora(lora_scale=0.7)
    maker.case("lora-kohya, 0.7", "euler", lora="lora-kohya.safetensors", lora_scale=0.7)
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    generator = torch.Generator().manual_seed(8)
    words = {"clip_l": torch.randn(2, 16, generator=generator).half(), "clip_g": torch.randn(2, 24, generator=generator).half()}
    save_file(words, out / "sdxl-extras" / "thing.safetensors")
    for key, tokenizer, encoder in (("clip_l", pipe.tokenizer, pipe.text_encoder), ("clip_g", pipe.tokenizer_2, pipe.text_encoder_2)):
        pipe.load_textual_inversion(words[key].float(), token="thing", text_encoder=encoder, tokenizer=tokenizer)
    maker.case("new words", "euler", words="thing.safetensors", prompt="a photo of a thing on the river")
    write(out, "sdxl", maker)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("out", type=Path)
    out = options.parse_args().out
    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for make in (sd1, sdxl):
        print(make.__name__)
        make(out)


if __name__ == "__main__":
    main()
