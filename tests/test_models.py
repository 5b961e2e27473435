from unittest.mock import Mock
from urllib.error import URLError

import pytest
import timm
import torch
from huggingface_hub import constants, errors
from safetensors.torch import save_file
from torch.nn import functional as F

from oreal_lib.models import build_model

SMALL, DEEP = "small_unet", "deeplabv3plus_resnet18"


def test_parameters_are_those_of_the_papers():
    net = build_model("deeplabv3plus_resnet50", 21).net
    size = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert sum(p.numel() for p in build_model(SMALL, 8).parameters()) == pytest.approx(0.22e6, rel=0.01)
    assert size["backbone"] == 23_508_032  # torchvision's resnet50 without fc
    assert size["aspp"] == 2 * (2048 * 256 + 512) + 3 * (2048 * 256 * 9 + 512) + (5 * 256 * 256 + 512)
    assert size["reduce"] + size["fuse"] == (256 * 48 + 2 * 48) + (304 * 256 * 9 + 512)


@pytest.mark.parametrize("name", [SMALL, DEEP])
def test_logits_have_the_size_of_the_image(name):
    model = build_model(name, 3).eval()
    for size in (33, 47), (96, 128), (220, 220), (1, 65):
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


@pytest.mark.parametrize("name", [SMALL, DEEP])
def test_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = build_model(name, 3)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.ones_(norm.weight)  # timm starts each residual branch at 0, which hides its inside for one step
    F.cross_entropy(model(torch.rand(2, 3, 70, 66)), torch.randint(3, (2, 70, 66))).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", [SMALL, DEEP])
def test_images_are_normalized_then_padded_with_the_mean_color(name):
    model = build_model(name, 3).eval()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    image = torch.rand(1, 3, 64, 64)
    bare = F.interpolate(model.net((image - mean) / std), size=(64, 64), mode="bilinear")
    assert torch.allclose(model(image), bare, atol=1e-5)  # 64 fits: nothing is added
    bare = F.interpolate(model.net(torch.zeros(1, 3, 64, 64)), size=(64, 64), mode="bilinear")
    assert torch.allclose(model(mean.expand(1, 3, 64, 64)), bare, atol=1e-5)
    cut = 64 - model.net.multiple + 1  # the smallest height that is padded to 64
    image[..., cut:, :] = mean
    assert torch.allclose(model(image[..., :cut, :]), model(image)[..., :cut, :], atol=1e-5)
    with pytest.raises(ValueError, match="divide uint8 by 255"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_a_lone_image_cannot_be_trained_on():
    with pytest.raises(ValueError, match=r"batch of 1 .* 2 or more; raise batch_size"):
        build_model(DEEP, 3).train()(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("name", [SMALL, DEEP])
def test_a_saved_model_comes_back(name, tmp_path):
    state, path = build_model(name, 3).state_dict(), tmp_path / "model.safetensors"
    save_file(state, path)
    assert all(torch.equal(v, state[key]) for key, v in build_model(name, 3, str(path)).state_dict().items())
    with pytest.raises(ValueError, match=r"does not fit the model: 2 of another shape .net\.classifier"):
        build_model(name, 4, str(path))


def test_files_that_do_not_fit_are_refused(tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    (tmp_path / "torn.safetensors").write_bytes(b"<html>")
    for name, path, says in [
        ("deeplabv3plus_resnet10t", "resnet34.pth", "does not fit the backbone: .* missing"),
        (DEEP, "resnet34.pth", "does not fit the backbone: .* unexpected .layer1.2"),  # though all of its own is there
        (SMALL, "resnet34.pth", "SmallUNet has no backbone"),
        (DEEP, "checkpoint.pth", "save model.state_dict"),
        (DEEP, "torn.safetensors", "cannot read"),
    ]:
        with pytest.raises(ValueError, match=says):
            build_model(name, 3, str(tmp_path / path))


def test_without_network_the_error_names_the_file_to_bring(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    wanted = r"download model.safetensors of .* timm/resnet18.tv_in1k .*weights=<path to it>.* weights=none"
    for error in None, URLError("no route"), errors.HfHubHTTPError.__bases__[0]("proxy"):  # None: its own
        if error:
            monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", Mock(side_effect=error))
        with pytest.raises(ConnectionError, match=wanted):
            build_model(f"{DEEP}.tv_in1k", 3, "imagenet")


def test_wrong_names_are_answered_with_right_ones():
    for name, weights, says in [
        ("unet", "none", "choose small_unet or deeplabv3plus_"),
        (SMALL, "imagenet", "small_unet has no ImageNet weights; pass weights=none"),
        (SMALL, "imagnet", "'imagnet' is no file; pass none, imagenet"),
        ("deeplabv3plus_resnet55", "none", "such as resnet5"),
        ("deeplabv3plus_vit_tiny_patch16_224", "none", "cannot dilate"),
        ("deeplabv3plus_botnet50ts_256", "imagenet", "no ImageNet weights for botnet50ts_256"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=says):
            build_model(name, 3, weights)
